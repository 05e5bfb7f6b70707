"""Pages of the site that are no files of ``docs/``, and Markdown as GitHub reads it.

MkDocs calls the functions ``on_...`` (``hooks`` in mkdocs.yml). Notebooks become pages, the
project's own pages (``CHANGELOG.md`` and others beside the README) are taken in, and each algorithm
has a page written from the registries. These are made with the site and kept in no commit, so that
they cannot differ from the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from fedlab.scenario.algorithm_pages import algorithms, groups, pages

DOCS = Path(__file__).parent
PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
_FENCE = re.compile(r"(?P<indent> *)```(?P<language>\w*)(?: (?P<file>[\w.]+))?$")
_ITEM = re.compile(r"([-*]|\d+\.) \S")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the algorithms' pages to the navigation, by group, before the results."""
    listed = {
        title: [f"algorithms/{one.file}" for one in members]
        for title, members in groups(algorithms()).items()
    }
    entry = ["algorithms/index.md", *({title: files} for title, files in listed.items())]
    navigation = list(config.nav or [])
    place = next(i for i, part in enumerate(navigation) if "Results" in part)
    config.nav = [*navigation[:place], {"Algorithms": entry}, *navigation[place:]]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are written here."""
    for path, content in _pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's Markdown with what MkDocs wants otherwise than GitHub does.

    Links to notebooks lead to their pages, but for those with attributes.
    """
    return re.sub(r"\]\(([\w./-]+)\.ipynb\)(?!\{)", r"](\1.md)", "\n".join(_adapted(markdown)))


def _pages() -> Iterator[tuple[str, str]]:
    """Yield the path below ``docs/`` and the Markdown of each page."""
    for notebook in sorted((DOCS / "tutorials").glob("*.ipynb")):
        yield f"tutorials/{notebook.stem}.md", notebook_page(notebook)
    for file, content in pages().items():
        yield f"algorithms/{file}", content
    for name in PROJECT:
        text = (DOCS.parent / name).read_text(encoding="utf-8")
        yield name, text.replace("](docs/", "](")


def notebook_page(path: Path) -> str:
    """Return a notebook without outputs as Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source.strip():
            magic = "sh" if source.startswith("%%bash") else "python"
            parts.append(f"```{magic}\n{source}\n```")
    title, _, rest = "\n\n".join(parts).partition("\n")
    download = f"[This page as a notebook]({path.name}){{ download }}"
    return f"{title}\n\n{download}\n\n{rest.lstrip()}\n"


def _adapted(markdown: str) -> Iterator[str]:
    """Yield lines as Python's Markdown wants them.

    A list or table below a paragraph begins after an empty line, what belongs to an item is
    indented by four, and the file of a block of code becomes its title.
    """
    fence: re.Match[str] | None = None
    for before, line in pairwise(["", *markdown.split("\n")]):
        found = _FENCE.match(line)
        if fence is not None:
            yield _widened(line, len(fence["indent"]))
            fence = None if found and not found["language"] else fence
        elif found:
            fence = found
            title = f' title="{found["file"]}"' if found["file"] else ""
            opening = f"{found['indent']}```{found['language']}{title}"
            yield _widened(opening, len(found["indent"]))
        else:
            if _begins_below_a_paragraph(before, line):
                yield ""
            yield _widened(line, len(line) - len(line.lstrip()))


def _widened(line: str, indent: int) -> str:
    """Return a line of an item with four spaces in the place of two or three."""
    return f"{' ' * (4 - indent)}{line}" if indent in (2, 3) and line.strip() else line


def _begins_below_a_paragraph(before: str, line: str) -> bool:
    if not before.strip() or line.startswith(" "):
        return False
    begins_list = _ITEM.match(line) and not _ITEM.match(before) and not before.startswith(" ")
    return bool(begins_list) or (line.startswith("|") and not before.startswith("|"))
