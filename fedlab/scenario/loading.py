"""Scenarios, checked: from a file's name or path, from text, or from another with overrides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from fedlab.errors import FedlabError, FedlabErrors
from fedlab.own_modules import own_modules
from fedlab.scenario.content import (
    ARGUMENT,
    SET,
    Content,
    Key,
    Origins,
    drop_unknown,
    leaves,
    merge,
    merged,
    merged_table,
    module_folders,
    tuples_for_lists,
)
from fedlab.scenario.files import built_in, find, text_of
from fedlab.scenario.named_tables import schema_for
from fedlab.scenario.overrides import overlay, put_back, take_out, without_taken
from fedlab.scenario.paths import here, make_absolute
from fedlab.scenario.phases import lay_clients, said_once, set_rounds
from fedlab.scenario.problems import sentences, shown
from fedlab.scenario.schema import SITES, Scenario
from fedlab.scenario.toml_text import parsed

MOST_PROBLEMS = 20
"""In one message."""


@dataclass(frozen=True)
class Loaded:
    """A checked scenario with its name and, for each key that was set, where it was."""

    scenario: Scenario
    name: str
    origins: Origins


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
    content = merged(path, overrides)
    scenario = check(content.raw, str(path), content.inherited, content.folders, content)
    return Loaded(scenario, path.stem, content.origins)


def from_table(table: dict[str, Any], extends: str | None = None) -> Loaded:
    """Return the checked scenario that a program's table describes.

    Args:
        table: The content, nested as in TOML; a :class:`~fedlab.scenario.overrides.Taken` takes a
            key out.
        extends: The name or path of the scenario that it is laid on; None: it is complete.

    Raises:
        FedlabError: If there is no such file, or with every problem of its content, a line each.
    """
    path = None if extends is None else find(extends)
    content = merged_table(path, table)
    where = "scenario" if path is None else str(path)
    scenario = check(content.raw, where, content.inherited, content.folders, content)
    return Loaded(scenario, "scenario" if path is None else path.stem, content.origins)


def read_table(name_or_path: str, table: str, overrides: Iterable[str] = ()) -> Any:
    """Return a scenario's table as it is written, merged but not checked, or None.

    This takes milliseconds; checking a scenario imports all that it names.

    Raises:
        FedlabError: If there is no such file, or it is not valid TOML.
    """
    return without_taken(merged(find(name_or_path), overrides).raw.get(table))


def written_keys(name_or_path: str) -> list[str]:
    """Return the keys that a scenario's files set, in order; this takes milliseconds.

    Raises:
        FedlabError: If there is no such file, or it is not valid TOML.
    """
    return [".".join(key) for key in leaves(merged(find(name_or_path), ()).raw)]


def loads(text: str, where: str = "scenario") -> Scenario:
    """Return the scenario that ``text`` (TOML, resolved) describes."""
    return check(parsed(text, where), where)


def load_resolved(path: Path) -> Scenario:
    """Return the scenario that a file holds as it is, such as a run folder's."""
    raw = parsed(text_of(path), str(path))
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
    """Return the scenario that a Flower run's configuration carries: a name, or TOML text.

    Raises:
        FedlabError: If it is not valid, or extends what is not on every machine.
    """
    if "=" not in value:
        return load(value)
    raw = parsed(value, "scenario")
    name = raw.pop("extends", None)
    if name is None:
        return check(raw, "scenario")
    if not isinstance(name, str) or name not in built_in():
        raise FedlabError(
            f"scenario: extends: {shown(name)} is a file of the machine that it was written on; "
            "submit the scenario resolved, as 'fedlab show scenario' prints it, or extend one that "
            "comes with fedlab"
        )
    content = merged(built_in()[name], ())
    content.lay(raw, "scenario", here())
    return check(content.raw, "scenario", content.inherited, content.folders, content)


def dumps(scenario: Scenario) -> str:
    """Return the scenario as TOML, defaults included."""
    left_out = {"phases"} if scenario.phase else None
    return tomli_w.dumps(scenario.model_dump(mode="json", exclude_none=True, exclude=left_out))


def overridden(raw: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return the content of a scenario with ``table.key=value`` overrides laid on it.

    Raises:
        FedlabError: If an override is not written so.
    """
    content = Content(raw, {}, set())
    content.lay(overlay(overrides), SET, here())
    _settle(content.raw)
    return content.raw


def changed(scenario: Scenario, overrides: Iterable[str] | dict[str, Any]) -> Scenario:
    """Return a scenario with overrides laid on it, checked.

    Args:
        scenario: The scenario.
        overrides: ``table.key=value`` each, or a program's table.

    Raises:
        FedlabError: If an override is not written so, or with every problem, a line each.
    """
    over = overrides if isinstance(overrides, dict) else overlay(overrides)
    origin = ARGUMENT if isinstance(overrides, dict) else SET
    content = Content(scenario.model_dump(mode="json", exclude_none=True), {}, set())
    content.lay(over, origin, Path.cwd())
    return check(content.raw, origin, content.inherited, (), content)


def check(
    raw: dict[str, Any],
    where: str,
    inherited: Iterable[Key] = (),
    folders: Iterable[str] = (),
    origins: Content | None = None,
) -> Scenario:
    """Return the scenario in ``raw``.

    Args:
        raw: The merged content; its paths are made absolute in place.
        where: The file, for messages.
        inherited: Keys that a table kept when its name changed; those that the new name does not
            know are dropped.
        folders: Where the modules are looked for that it names, beside those that it says.
        origins: Which file or option set a key, for messages, and in which folder its relative path
            begins; by default the current one.

    Raises:
        FedlabError: With every problem found, a line each.
    """
    said = module_folders(raw)
    own_modules.look_in([*said, *folders])
    inherited = set(inherited)
    lay_clients(raw, lambda base, own, path: merge(base, own, inherited, path))
    schema, problems = _settle(raw)
    problems += set_rounds(raw)
    _evaluate_at_sites(raw)
    drop_unknown(raw, schema, inherited)
    make_absolute(raw, schema, (origins or Content({}, {}, set())).folder_of)
    content = tuples_for_lists(raw)
    try:
        scenario = schema.model_validate(content, strict=True)
    except ValidationError as error:
        problems += sentences(error, schema, content)
    problems = said_once(problems)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [f"and {more} more mistakes"] if more > 0 else []
        listed = [_placed(problem, where, origins) for problem in problems[:MOST_PROBLEMS]]
        raise FedlabErrors([*listed, *(f"{where}: {text}" for text in rest)])
    found_in = tuple(dict.fromkeys([*said, *own_modules.in_use]))
    return scenario.model_copy(update={"module_folders": found_in}) if found_in else scenario


def _placed(problem: str, where: str, origins: Content | None) -> str:
    """Return a problem with the file or option that set its key."""
    origin = origins and origins.origin_of(problem.partition(": ")[0])
    if origin in (SET, ARGUMENT):
        return f"{origin} {problem}"
    return f"{origin or where}: {problem}"


def _evaluate_at_sites(raw: dict[str, Any]) -> None:
    """Let sites evaluate the model where the server has no test data, unless it is said."""
    data, evaluation = raw.get("data"), raw.setdefault("evaluation", {})
    of_sites = isinstance(data, dict) and data.get("name") == SITES and data.get("test") is None
    if of_sites and isinstance(evaluation, dict):
        evaluation.setdefault("federated", True)


def _settle(raw: dict[str, Any]) -> tuple[type[Scenario], list[str]]:
    """Take out what overrides take out; return the schema, and problems with its names."""
    taken = take_out(raw)
    found = schema_for(raw)
    put_back(raw, found[0], taken)
    return found
