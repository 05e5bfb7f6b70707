"""Reading scenarios: by name or path, ``extends``, ``--set``, and where a value comes from."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from fedlab.errors import FedlabError, FedlabErrors, unknown
from fedlab.own_modules import own_modules
from fedlab.scenario.named_tables import schema_for
from fedlab.scenario.overrides import (
    are_numbers,
    entries_set,
    overlay,
    put_back,
    take_out,
    without_taken,
)
from fedlab.scenario.paths import here, make_absolute
from fedlab.scenario.phases import fit_rounds, lay_clients, said_once, set_rounds
from fedlab.scenario.problems import dotted, known_keys, sentences, shown
from fedlab.scenario.schema import Scenario
from fedlab.scenario.toml_text import parsed

Origins = dict[str, str]
Key = tuple[Any, ...]
MOST_BYTES = 1 << 20
"""Of a scenario file."""
MOST_PROBLEMS = 20
"""In one message."""
_OTHER_ENCODINGS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Loaded:
    """A checked scenario with its name and, for each key that was set, where it was."""

    scenario: Scenario
    name: str
    origins: Origins


def built_in() -> dict[str, Path]:
    """Return the scenarios that come with fedlab, by name (file name without ``.toml``)."""
    root = Path(str(resources.files("scenarios")))
    return {path.stem: path for path in sorted(root.rglob("*.toml"))}


def load(name_or_path: str, overrides: Iterable[str] = ()) -> Scenario:
    """Return the checked scenario of this name or path; see :func:`load_with_origins`."""
    return load_with_origins(name_or_path, overrides).scenario


def load_with_origins(name_or_path: str, overrides: Iterable[str] = ()) -> Loaded:
    """Return the checked scenario with the origin of each value.

    Args:
        name_or_path: A built-in scenario's name, or the path of a TOML file.
        overrides: ``table.key=value`` each, the value written as in TOML (bare words are text).

    Raises:
        FedlabError: If there is no such file, or with every problem of its content, a line each.
    """
    path = find(name_or_path)
    content = _merged(path, overrides)
    scenario = check(content.raw, str(path), content.inherited, content.folders, content.folder_of)
    return Loaded(scenario, path.stem, content.origins)


def read_table(name_or_path: str, table: str, overrides: Iterable[str] = ()) -> Any:
    """Return a scenario's table as it is written, merged but not checked, or None.

    This takes milliseconds; checking a scenario imports all that it names.

    Raises:
        FedlabError: If there is no such file, or it is not valid TOML.
    """
    return without_taken(_merged(find(name_or_path), overrides).raw.get(table))


def written_keys(name_or_path: str) -> list[str]:
    """Return the keys that a scenario's files set, in order; this takes milliseconds.

    Raises:
        FedlabError: If there is no such file, or it is not valid TOML.
    """
    return [".".join(key) for key in _leaves(_merged(find(name_or_path), ()).raw)]


def loads(text: str, where: str = "scenario") -> Scenario:
    """Return the scenario that ``text`` (TOML, resolved) describes."""
    return check(parsed(text, where), where)


def load_resolved(path: Path) -> Scenario:
    """Return the scenario that a file holds as it is, such as a run folder's."""
    raw = parsed(_text(path), str(path))
    _update(raw)
    return check(raw, str(path))


def _update(raw: dict[str, Any]) -> None:
    """Write what an older fedlab wrote into a run folder as it is written now."""
    client = raw.get("client")
    mods = client.pop("mods", None) if isinstance(client, dict) else None
    if mods:
        # The outermost mod stood first, and was the last one to see an update.
        raw["updates"] = [{"name": name} for name in reversed(mods)]


def from_run_config(value: str) -> Scenario:
    """Return the scenario that a Flower run's configuration carries: a name, or TOML text."""
    return loads(value) if "=" in value else load(value)


def dumps(scenario: Scenario) -> str:
    """Return the scenario as TOML, defaults included."""
    left_out = {"phases"} if scenario.phase else None
    return tomli_w.dumps(scenario.model_dump(mode="json", exclude_none=True, exclude=left_out))


def overridden(raw: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return the content of a scenario with ``table.key=value`` overrides laid on it.

    Raises:
        FedlabError: If an override is not written so.
    """
    content = _Content(raw, {}, set())
    content.lay(overlay(overrides), "--set", here())
    _settle(content.raw)
    return content.raw


def changed(scenario: Scenario, overrides: Iterable[str]) -> Scenario:
    """Return a scenario with ``table.key=value`` overrides laid on it, checked.

    Raises:
        FedlabError: If an override is not written so, or with every problem, a line each.
    """
    content = _Content(scenario.model_dump(mode="json", exclude_none=True), {}, set())
    content.lay(overlay(overrides), "--set", Path.cwd())
    return check(content.raw, "--set", content.inherited, (), content.folder_of)


def check(
    raw: dict[str, Any],
    where: str,
    inherited: Iterable[Key] = (),
    folders: Iterable[str] = (),
    folder_of: Callable[[str], Path] = lambda key: here(),
) -> Scenario:
    """Return the scenario in ``raw``.

    Args:
        raw: The merged content; its paths are made absolute in place.
        where: The file, for messages.
        inherited: Keys that a table kept when its name changed; those that the new name does not
            know are dropped.
        folders: Where the modules are looked for that it names, beside those that it says.
        folder_of: Returns the folder in which a key's relative path begins; by default the current
            one.

    Raises:
        FedlabError: With every problem found, a line each.
    """
    said = _text_list(raw.get("module_folders"))
    own_modules.look_in([*said, *folders])
    inherited = set(inherited)
    lay_clients(raw, lambda base, own, path: _merge(base, own, inherited, path))
    schema, problems = _settle(raw)
    problems += set_rounds(raw)
    _drop_unknown(raw, schema, inherited)
    make_absolute(raw, schema, folder_of)
    content = _with_tuples(raw)
    try:
        scenario = schema.model_validate(content, strict=True)
    except ValidationError as error:
        problems += sentences(error, schema, content)
    problems = said_once(problems)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [f"and {more} more mistakes"] if more > 0 else []
        listed = [*problems[:MOST_PROBLEMS], *rest]
        raise FedlabErrors(f"{where}: {problem}" for problem in listed)
    found_in = tuple(dict.fromkeys([*said, *own_modules.in_use]))
    return scenario.model_copy(update={"module_folders": found_in}) if found_in else scenario


def _settle(raw: dict[str, Any]) -> tuple[type[Scenario], list[str]]:
    """Take out what overrides take out; return the schema, and problems with its names."""
    taken = take_out(raw)
    found = schema_for(raw)
    put_back(raw, found[0], taken)
    return found


def _text_list(value: Any) -> list[str]:
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


def find(name_or_path: str) -> Path:
    """Return the file of a scenario given by built-in name or by path."""
    known = built_in()
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path)
    try:
        if path.is_dir():
            raise FedlabError(f"{path} is a folder; a scenario is a TOML file")
        if path.exists():
            return path
    except (OSError, ValueError):  # a name that is too long, or no name of a file
        raise FedlabError(unknown("scenario", name_or_path, known)) from None
    if path.suffix == ".toml" or "/" in name_or_path:
        raise FedlabError(f"there is no scenario file {path}")
    raise FedlabError(unknown("scenario", name_or_path, known))


@dataclass
class _Content:
    """A scenario's merged content, where each key was set, and what a renamed table kept.

    Its folders are those of the files, and the current one: modules that it names may be there.
    Where each key was set, the relative path that it may hold begins: ``beside``.
    """

    raw: dict[str, Any]
    origins: Origins
    inherited: set[Key]
    folders: list[str] = field(default_factory=list)
    beside: dict[str, Path] = field(default_factory=dict)

    def lay(self, over: dict[str, Any], origin: str, folder: Path) -> None:
        """Lay ``over`` on the content; its relative paths begin in ``folder``."""
        _merge(self.raw, over, self.inherited)
        fit_rounds(self.raw, over)
        for key in _leaves(over):
            self.origins[".".join(key)] = origin
            self.beside[".".join(key)] = folder
            self.inherited.discard(key)

    def folder_of(self, key: str) -> Path:
        """Return the folder of the file that set a key, or the list that it stands in."""
        while key not in self.beside and "." in key:
            key = key.rpartition(".")[0]
        return self.beside.get(key, here())


def _merged(path: Path, overrides: Iterable[str]) -> _Content:
    content = _read(path, ())
    with suppress(FileNotFoundError):  # the current folder may have been removed
        content.folders.append(str(Path.cwd()))
    content.lay(_with_whole_folders(overlay(overrides), Path()), "--set", here())
    return content


def _with_whole_folders(raw: dict[str, Any], beside: Path) -> dict[str, Any]:
    """Return a file's content, its ``module_folders`` taken from where the file is."""
    folders = _text_list(raw.get("module_folders"))
    whole = [str((beside / Path(folder).expanduser()).absolute()) for folder in folders]
    return raw | {"module_folders": whole} if folders else raw


def _read(path: Path, chain: tuple[Path, ...]) -> _Content:
    """Return a file's content merged over what it extends."""
    resolved = path.resolve()
    if resolved in chain:
        raise FedlabError(f"{path}: extends goes in a circle")
    own = parsed(_text(path), str(path))
    base_name = own.pop("extends", None)
    if base_name is None:
        content = _Content({}, {}, set())
    elif not isinstance(base_name, str):
        raise FedlabError(f"{path}: extends: {shown(base_name)} is not a scenario's name or path")
    else:
        content = _read(_base(path, base_name), (*chain, resolved))
    content.lay(_with_whole_folders(own, resolved.parent), path.name, path.parent)
    content.folders.insert(0, str(resolved.parent))
    return content


def _base(path: Path, name: str) -> Path:
    """Return the file that ``path`` extends: one beside it, else what `find` finds."""
    beside = path.parent / name
    try:
        return beside if beside.is_file() else find(name)
    except (OSError, ValueError) as error:  # too long, or no name of a file
        raise FedlabError(f"{path}: extends: there is no scenario {shown(name)}") from error
    except FedlabError as error:
        raise FedlabError(f"{path}: extends: {error}") from error


def _text(path: Path) -> str:
    """Return a file's text, without the byte order mark that Windows programs put before it."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise FedlabError(f"{path} is no scenario: it has more than a megabyte")
    if content.startswith(_OTHER_ENCODINGS):
        raise FedlabError(
            f"{path} is UTF-16 or UTF-32 text, as some Windows programs write it; save it as UTF-8"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FedlabError(
            f"{path} is no text file: {error.reason} in line {line}; save it as UTF-8"
        ) from error


def _merge(
    base: dict[str, Any], over: dict[str, Any], inherited: set[Key], prefix: Key = ()
) -> None:
    """Lay ``over`` on ``base``, table by table; note what a table keeps when its name changes."""
    if "name" in over and over["name"] != base.get("name", over["name"]):
        inherited.update((*prefix, key) for key in base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value, inherited, (*prefix, key))
        elif isinstance(value, dict) and isinstance(base.get(key), list) and are_numbers(value):
            _merge_entries(base[key], value, inherited, (*prefix, key))
        else:
            base[key] = value


def _merge_entries(base: list[Any], over: dict[str, Any], inherited: set[Key], prefix: Key) -> None:
    """Lay ``over``, whose keys are numbers of entries, on a list: ``phases.0.rounds=2``."""
    for number, value in entries_set(base, over, dotted(prefix)).items():
        if number == len(base):
            base.append(value)
        elif isinstance(value, dict) and isinstance(base[number], dict):
            _merge(base[number], value, inherited, (*prefix, number))
        else:
            base[number] = value


def _inside(value: Any, part: Any) -> Any:
    """Return what a table or list holds under a key or number, or None."""
    if isinstance(value, dict):
        return value.get(part)
    is_entry = isinstance(value, list) and isinstance(part, int) and part < len(value)
    return value[part] if is_entry else None


def _drop_unknown(raw: dict[str, Any], schema: type[Scenario], inherited: Iterable[Key]) -> None:
    for *path, last in inherited:
        table: Any = raw
        for part in path:
            table = _inside(table, part)
        if isinstance(table, dict) and last not in known_keys(schema, path):
            table.pop(last, None)


def _with_tuples(value: Any) -> Any:
    """Return TOML content with tuples for lists, which is what settings hold.

    So that it can be checked strictly: "3" and true are no numbers.
    """
    if isinstance(value, dict):
        return {key: _with_tuples(part) for key, part in value.items()}
    return tuple(_with_tuples(part) for part in value) if isinstance(value, list) else value


def _leaves(table: dict[str, Any], prefix: Key = ()) -> Iterator[Key]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key)
