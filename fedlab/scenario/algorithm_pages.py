"""A page for each algorithm, written from what is registered: docstrings, keys and scenarios.

The site makes them when it is built (``docs/site_pages.py``), so they are in no commit and cannot
differ from the code; ``python -m fedlab.scenario.algorithm_pages FOLDER`` writes them as files.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.algorithm.strategy import Traits, own_traits
from fedlab.registry import KINDS, Kind
from fedlab.scenario.files import built_in
from fedlab.scenario.reference import keys

ALGORITHMS = {
    "strategies": "On the server",
    "clients": "On clients",
    "updates": "On updates",
    "attacks": "Attack",
}
"""The kinds of parts that are algorithms, with what their part of a page is called."""
_ORDER = ("strategies", "heterogeneity", "personalisation", "fairness", "clustering", "robustness")
_TITLES = {
    "strategies": "Averaging, robust means and privacy",
    "clustering": "Clusters",
    "meta": "Meta-learning",
}
_ATTACKS, _UPDATES, _OTHERS = "attacks", "update processors", "others"


@dataclass(frozen=True)
class Example:
    """A built-in scenario that names algorithms in its own file.

    Attributes:
        name: The scenario's name.
        group: The folder that it lies in, or the group that it names.
        title: Its title.
        description: What it shows, with the figures that it reached.
        names: The names of its parts, by plural of the kind.
    """

    name: str
    group: str
    title: str
    description: str
    names: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Algorithm:
    """An algorithm: the parts that go by one name on the server, on clients and between.

    Attributes:
        name: The name.
        parts: Kind and class of each part.
        examples: The scenarios that name it, the one that bears its name first.
    """

    name: str
    parts: tuple[tuple[Kind, type[Any]], ...]
    examples: tuple[Example, ...]

    @property
    def file(self) -> str:
        """The page's file in its folder."""
        return f"{self.name.replace('+', '-plus-').strip('-')}.md"

    @property
    def group(self) -> str:
        """The group that it is listed in: that of the first scenario that shows it."""
        kinds = {kind.plural for kind, _ in self.parts}
        if kinds == {"attacks"}:
            return _ATTACKS
        if kinds == {"updates"}:
            return _UPDATES
        return self.examples[0].group if self.examples else _OTHERS

    @property
    def summary(self) -> str:
        """The first line of its first part's docstring."""
        return _docstring(self.parts[0][1]).partition("\n")[0].rstrip(".")


def algorithms() -> list[Algorithm]:
    """Return every algorithm, sorted by name."""
    parts: dict[str, list[tuple[Kind, type[Any]]]] = {}
    for plural in ALGORITHMS:
        (kind,) = (kind for kind in KINDS if kind.plural == plural)
        for name in kind.registry.names():
            parts.setdefault(name, []).append((kind, kind.registry.get(name)))
    known = list(_examples())
    return [
        Algorithm(name, tuple(found), tuple(_showing(name, found, known)))
        for name, found in sorted(parts.items())
    ]


def pages() -> dict[str, str]:
    """Return the Markdown of every page, and of the index, by file name."""
    known = algorithms()
    return {"index.md": _index(known)} | {one.file: page(one) for one in known}


def groups(known: Iterable[Algorithm]) -> dict[str, list[Algorithm]]:
    """Return algorithms by the title of their group, in the order of the index."""
    found: dict[str, list[Algorithm]] = {}
    for one in known:
        found.setdefault(one.group, []).append(one)
    last = (_UPDATES, _ATTACKS, _OTHERS)
    between = sorted(set(found) - {*_ORDER, *last})
    named = [group for group in (*_ORDER, *between, *last) if group in found]
    return {_TITLES.get(g, g.capitalize()): found[g] for g in named}


def page(one: Algorithm) -> str:
    """Return an algorithm's page as Markdown."""
    lines = [f"# {one.name}", ""]
    for kind, cls in one.parts:
        heading = f"{ALGORITHMS[kind.plural]}: `{kind.table}`"
        lines += [f"## {heading}", "", _prose(_docstring(cls)), *_limits(cls), *_keys(kind, cls)]
        lines += [f"`fedlab show {kind.singular} {one.name}` prints this.", ""]
    lines += _shown(one)
    return "\n".join(lines)


def _docstring(cls: type[Any]) -> str:
    text = (inspect.getdoc(cls) or cls.__name__).partition("\n\nAttributes:")[0]
    return text.partition("\n\nArgs:")[0]


def _prose(text: str) -> str:
    """Return a docstring as Markdown: its first line stands out, equations are blocks of code."""
    first, _, rest = text.partition("\n")
    lines = [f"**{_escaped(first)}**"]
    # Blocks that docstrings indent are equations.
    lines += [line if line.startswith("    ") else _escaped(line) for line in rest.split("\n")]
    return "\n".join(lines) + "\n"


def _escaped(line: str) -> str:
    """Return a line whose signs are no Markdown, but for those within backticks."""
    pieces = re.split(r"(`+[^`]*`+)", line)
    return "".join(p if p.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", p) for p in pieces)


def _limits(cls: type[Any]) -> list[str]:
    """Return what a strategy says of what it goes with."""
    if not isinstance(getattr(cls, "traits", None), Traits):
        return []
    traits = own_traits(cls)
    said = []
    if traits.client is not None:
        said.append(f"Its clients are `{traits.client}`.")
    if traits.processors:
        names = ", ".join(f"`{name}`" for name in traits.processors)
        said.append(f"Its clients need the update processors {names}.")
    if traits.needs_public:
        said.append("It needs public examples (`[data.public]`).")
    if traits.needs_root:
        said.append("It needs examples of the server's own, the root data.")
    if traits.sub_models:
        said.append("Clients may have narrower models than the server.")
    if traits.malicious_bound is not None:
        factor, rest = traits.malicious_bound
        said.append(
            f"It withstands f malicious clients in a cohort of {factor} f + {rest} or more."
        )
    mean = "Only sums of updates reach it" if traits.takes_mean else "Each update reaches it"
    return [f"{' '.join(said)} {mean}.".strip(), ""]


def _keys(kind: Kind, cls: type[Any]) -> Iterator[str]:
    """Yield the table of the keys that not every part of this kind has."""
    registry = kind.registry
    every = [set(registry.get(name).Settings.model_fields) for name in registry.names()]
    shared = set.intersection(*every) | {"name"}
    rows = [
        f"| `{name}` | {words} | {default} | {about} |"
        for name, words, default, about in keys(cls.Settings)
        if name not in shared
    ]
    if rows:
        yield from ("| key | type | default | |", "| --- | --- | --- | --- |", *rows, "")
    if shared - {"name"}:
        anchor = kind.table.strip("[]")
        others = f"[keys of every `{kind.table}`](../scenarios.md#{anchor})"
        yield f"{'And the' if rows else 'It has the'} {others}.\n"


def _shown(one: Algorithm) -> Iterator[str]:
    if not one.examples:
        yield "## Shown by\n\nNo built-in scenario names it in its own file.\n"
        return
    first, *others = one.examples
    yield f"## Shown by: {first.name}\n"
    yield f"{first.title}.\n\n```sh\nfedlab run {first.name}\n```\n"
    if first.description:
        yield f"> {_escaped(' '.join(first.description.split()))}\n"
    if others:
        yield "Other built-in scenarios with it:\n"
        yield from (f"- `{example.name}`: {example.title}" for example in others)
        yield ""


def _index(known: list[Algorithm]) -> str:
    lines = [
        "# Algorithms\n",
        "Each page has the equations as the code computes them, keys with defaults, and what a "
        "built-in scenario measured. [Sanity](../results/sanity.md) has each strategy on one task.",
    ]
    for title, members in groups(known).items():
        lines += [f"\n## {title}\n", "| name | what it does |", "| --- | --- |"]
        lines += [f"| [{one.name}]({one.file}) | {_cell(one.summary)} |" for one in members]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|")


def _examples() -> Iterator[Example]:
    for name, path in built_in().items():
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        yield Example(
            name=name,
            group=content.get("group") or path.parent.name,
            title=content.get("title", name),
            description=content.get("description", "").strip(),
            names={
                "strategies": tuple(_strategies(content.get("strategy", {}))),
                "clients": _names([content.get("client", {})]),
                "updates": _names(content.get("updates", [])),
                "attacks": _names([content.get("attack", {})]),
            },
        )


def _names(tables: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(table["name"] for table in tables if "name" in table)


def _strategies(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of a strategy and of those that it wraps."""
    yield from _names([table])
    for inner in table.values():
        if isinstance(inner, dict):
            yield from _strategies(inner)


def _showing(
    name: str, parts: Iterable[tuple[Kind, type[Any]]], known: Iterable[Example]
) -> list[Example]:
    kinds = [kind.plural for kind, _ in parts]
    found = [one for one in known if any(name in one.names[kind] for kind in kinds)]
    return sorted(found, key=lambda one: (one.name != name, one.name))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in pages().items():
        (folder / file).write_text(content, encoding="utf-8")
