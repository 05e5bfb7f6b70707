"""What a scenario's files and overrides say, merged, before it is checked.

A file is laid over what it extends, and overrides over both, table by table. On the way it is kept
where each key was set, from where its relative path begins, and what a table has only from before
its name changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlab.errors import FedlabError
from fedlab.scenario.files import find, text_of
from fedlab.scenario.overrides import are_numbers, entries_set, overlay
from fedlab.scenario.paths import here
from fedlab.scenario.phases import fit_rounds
from fedlab.scenario.problems import dotted, known_keys, shown
from fedlab.scenario.schema import Scenario
from fedlab.scenario.toml_text import parsed

SET = "--set"
ARGUMENT = "argument"
"""The origin of what a program sets, as :mod:`fedlab.api` hands it over."""
Origins = dict[str, str]
Key = tuple[Any, ...]


@dataclass
class Content:
    """A scenario's merged content, where each key was set, and what a renamed table kept.

    Attributes:
        raw: The content.
        origins: Where each key was set: a file's name, ``--set`` or ``argument``.
        inherited: What a table kept when its name changed.
        folders: Those of the files, and the current one: modules that it names may be there.
        beside: The folder in which the relative path begins that a key may hold.
    """

    raw: dict[str, Any]
    origins: Origins
    inherited: set[Key]
    folders: list[str] = field(default_factory=list)
    beside: dict[str, Path] = field(default_factory=dict)

    def lay(self, over: dict[str, Any], origin: str, folder: Path) -> None:
        """Lay ``over`` on the content; its relative paths begin in ``folder``."""
        merge(self.raw, over, self.inherited)
        fit_rounds(self.raw, over)
        for key in leaves(over):
            self.origins[".".join(key)] = origin
            self.beside[".".join(key)] = folder
            self.inherited.discard(key)

    def folder_of(self, key: str) -> Path:
        """Return the folder of the file that set a key, or the list that it stands in."""
        return self.beside.get(self._set_with(key), here())

    def origin_of(self, key: str) -> str | None:
        """Return what set a key, or the list that it stands in: a file's path, or an option.

        Of a table it is what set all of its keys, if one did.
        """
        found = self._set_with(key)
        within = [known for known in self.beside if known.startswith(f"{key}.")]
        if key not in self.beside and len({self.origins.get(known) for known in within}) == 1:
            found = within[0]
        origin = self.origins.get(found)
        return origin if origin in (None, SET, ARGUMENT) else str(self.beside[found] / origin)

    def _set_with(self, key: str) -> str:
        while key not in self.beside and "." in key:
            key = key.rpartition(".")[0]
        return key


def merged(path: Path, overrides: Iterable[str]) -> Content:
    """Return what a file, all that it extends, and ``table.key=value`` overrides say.

    Raises:
        FedlabError: If a file cannot be read or is not valid TOML, or an override is written
            otherwise.
    """
    return _under(_read(path, ()), overlay(overrides), SET)


def merged_table(base: Path | None, table: dict[str, Any]) -> Content:
    """Return what a file, if any, and all that it extends say, with a program's table laid on it.

    Raises:
        FedlabError: If a file cannot be read or is not valid TOML.
    """
    content = Content({}, {}, set()) if base is None else _read(base, ())
    return _under(content, table, ARGUMENT)


def _under(content: Content, table: dict[str, Any], origin: str) -> Content:
    """Return a content with a table laid on it whose relative paths begin in the current folder."""
    with suppress(FileNotFoundError):  # the current folder may have been removed
        content.folders.append(str(Path.cwd()))
    content.lay(_with_whole_folders(table, Path()), origin, here())
    return content


def module_folders(raw: dict[str, Any]) -> list[str]:
    """Return the folders that a content names for modules; the check judges what is no text."""
    value = raw.get("module_folders")
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


def _with_whole_folders(raw: dict[str, Any], beside: Path) -> dict[str, Any]:
    """Return a file's content, its ``module_folders`` taken from where the file is."""
    folders = module_folders(raw)
    whole = [str((beside / Path(folder).expanduser()).absolute()) for folder in folders]
    return raw | {"module_folders": whole} if folders else raw


def _read(path: Path, chain: tuple[Path, ...]) -> Content:
    """Return a file's content merged over what it extends."""
    resolved = path.resolve()
    if resolved in chain:
        raise FedlabError(f"{path}: extends goes in a circle")
    own = parsed(text_of(path), str(path))
    base_name = own.pop("extends", None)
    if base_name is None:
        content = Content({}, {}, set())
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


def merge(
    base: dict[str, Any], over: dict[str, Any], inherited: set[Key], prefix: Key = ()
) -> None:
    """Lay ``over`` on ``base``, table by table; note what a table keeps when its name changes."""
    if "name" in over and over["name"] != base.get("name", over["name"]):
        inherited.update((*prefix, key) for key in base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value, inherited, (*prefix, key))
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
            merge(base[number], value, inherited, (*prefix, number))
        else:
            base[number] = value


def _inside(value: Any, part: Any) -> Any:
    """Return what a table or list holds under a key or number, or None."""
    if isinstance(value, dict):
        return value.get(part)
    is_entry = isinstance(value, list) and isinstance(part, int) and part < len(value)
    return value[part] if is_entry else None


def drop_unknown(raw: dict[str, Any], schema: type[Scenario], inherited: Iterable[Key]) -> None:
    """Drop what tables kept when their names changed and the new names do not know, in place."""
    for *path, last in inherited:
        table: Any = raw
        for part in path:
            table = _inside(table, part)
        if isinstance(table, dict) and last not in known_keys(schema, path):
            table.pop(last, None)


def leaves(table: dict[str, Any], prefix: Key = ()) -> Iterator[Key]:
    """Yield the path of each value in a table and the tables in it; a list is a value."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key)


def tuples_for_lists(value: Any) -> Any:
    """Return TOML content with tuples for lists, which is what settings hold.

    So that it can be checked strictly: "3" and true are no numbers.
    """
    if isinstance(value, dict):
        return {key: tuples_for_lists(part) for key, part in value.items()}
    return tuple(tuples_for_lists(part) for part in value) if isinstance(value, list) else value
