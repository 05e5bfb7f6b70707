"""Reading scenarios: by name or path, ``extends``, ``--set``, and where a value comes from."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from fedlab.errors import FedlabError, unknown
from fedlab.scenario.problems import known_keys, sentences
from fedlab.scenario.schema import Scenario, schema_for

Origins = dict[str, str]


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
    return Loaded(check(content.raw, str(path), content.inherited), path.stem, content.origins)


def read_table(name_or_path: str, table: str, overrides: Iterable[str] = ()) -> Any:
    """Return a scenario's table as it is written, merged but not checked, or None.

    This takes milliseconds; checking a scenario imports all that it names.

    Raises:
        FedlabError: If there is no such file, or it is not valid TOML.
    """
    return _merged(find(name_or_path), overrides).raw.get(table)


def loads(text: str, where: str = "scenario") -> Scenario:
    """Return the scenario that ``text`` (TOML, resolved) describes."""
    return check(_parse(text, where), where)


def load_resolved(path: Path) -> Scenario:
    """Return the scenario that a file holds as it is, such as a run folder's."""
    raw = _parse(_text(path), str(path))
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
    return tomli_w.dumps(scenario.model_dump(mode="json", exclude_none=True))


def overridden(raw: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return the content of a scenario with ``table.key=value`` overrides laid on it.

    Raises:
        FedlabError: If an override is not written so.
    """
    content = _Content(raw, {}, set())
    content.lay(_overlay(overrides), "--set")
    return content.raw


def check(raw: dict[str, Any], where: str, inherited: Iterable[str] = ()) -> Scenario:
    """Return the scenario in ``raw``.

    Args:
        raw: The merged content.
        where: The file, for messages.
        inherited: Keys that a table kept when its name changed; those that the new name does not
            know are dropped.

    Raises:
        FedlabError: With every problem found, a line each.
    """
    schema, problems = schema_for(raw)
    _drop_unknown(raw, schema, inherited)
    try:
        scenario = schema.model_validate(_with_tuples(raw), strict=True)
    except ValidationError as error:
        problems += sentences(error, schema)
    if problems:
        raise FedlabError("\n".join(f"{where}: {problem}" for problem in problems))
    return scenario


def find(name_or_path: str) -> Path:
    """Return the file of a scenario given by built-in name or by path."""
    known = built_in()
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path)
    if path.is_dir():
        raise FedlabError(f"{path} is a folder; a scenario is a TOML file")
    if path.exists():
        return path
    if path.suffix == ".toml" or "/" in name_or_path:
        raise FedlabError(f"there is no scenario file {path}")
    raise FedlabError(unknown("scenario", name_or_path, known))


@dataclass
class _Content:
    """A scenario's merged content, where each key was set, and what a renamed table kept."""

    raw: dict[str, Any]
    origins: Origins
    inherited: set[str]

    def lay(self, over: dict[str, Any], origin: str) -> None:
        """Lay ``over`` on the content."""
        _merge(self.raw, over, self.inherited)
        for key, _ in _leaves(over):
            self.origins[key] = origin
            self.inherited.discard(key)


def _merged(path: Path, overrides: Iterable[str]) -> _Content:
    content = _read(path, ())
    content.lay(_overlay(overrides), "--set")
    return content


def _read(path: Path, chain: tuple[Path, ...]) -> _Content:
    """Return a file's content merged over what it extends."""
    resolved = path.resolve()
    if resolved in chain:
        raise FedlabError(f"{path}: extends goes in a circle")
    own = _parse(_text(path), str(path))
    base_name = own.pop("extends", None)
    if base_name is None:
        content = _Content({}, {}, set())
    elif not isinstance(base_name, str):
        raise FedlabError(f"{path}: extends: {base_name!r} is not a scenario's name or path")
    else:
        content = _read(_base(path, base_name), (*chain, resolved))
    content.lay(own, path.name)
    return content


def _base(path: Path, name: str) -> Path:
    """Return the file that ``path`` extends: one beside it, else what `find` finds."""
    beside = path.parent / name
    if beside.is_file():
        return beside
    try:
        return find(name)
    except FedlabError as error:
        raise FedlabError(f"{path}: extends: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FedlabError(f"{path} is no text file: {error}") from error


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FedlabError(f"{where} is not valid TOML: {error}") from error


def _merge(
    base: dict[str, Any], over: dict[str, Any], inherited: set[str], prefix: str = ""
) -> None:
    """Lay ``over`` on ``base``, table by table; note what a table keeps when its name changes."""
    if "name" in over and over["name"] != base.get("name", over["name"]):
        inherited.update(f"{prefix}{key}" for key in base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value, inherited, f"{prefix}{key}.")
        else:
            base[key] = value


def _drop_unknown(raw: dict[str, Any], schema: type[Scenario], inherited: Iterable[str]) -> None:
    for key in inherited:
        *path, last = key.split(".")
        table: Any = raw
        for part in path:
            table = table.get(part, {})
        if last not in known_keys(schema, path):
            table.pop(last, None)


def _overlay(overrides: Iterable[str]) -> dict[str, Any]:
    """Return what ``table.key=value`` overrides say, as one table."""
    overlay: dict[str, Any] = {}
    for override in overrides:
        _set(override, overlay)
    return overlay


def _set(override: str, overlay: dict[str, Any]) -> None:
    """Put one ``table.key=value`` into ``overlay``."""
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise FedlabError(f"--set {override}: write it as table.key=value")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        parsed = {"value": text.strip()}
    if len(parsed) > 1:
        raise FedlabError(f"--set {key}: this sets more than one key; write --set once for each")
    table = overlay
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise FedlabError(f"--set {override}: '{part}' is not a table")
    table[parts[-1]] = parsed["value"]


def _with_tuples(value: Any) -> Any:
    """Return TOML content with tuples for lists, which is what settings hold.

    So that it can be checked strictly: "3" and true are no numbers.
    """
    if isinstance(value, dict):
        return {key: _with_tuples(part) for key, part in value.items()}
    return tuple(_with_tuples(part) for part in value) if isinstance(value, list) else value


def _leaves(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
