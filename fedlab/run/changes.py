"""Changes of a scenario while its run goes on: which are allowed, and what is recorded of them.

A checkpoint holds the scenario that it was reached with, and ``changes.json`` what was changed
since: a ``scenario.toml`` that says anything else was edited by hand.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.results.parsing import read_object
from fedlab.results.rows import ChangedKey, ChangesFile, ChangesMade
from fedlab.run.checkpoint import Checkpoint
from fedlab.run.folder import RunFolder
from fedlab.scenario import Scenario, dumps
from fedlab.scenario.changes import (
    MAY_CHANGE,
    Leaves,
    content_of,
    differences,
    fixed,
    leaves,
    recorded_leaves,
    told,
)
from fedlab.scenario.content import ARGUMENT, SET
from fedlab.scenario.loading import changed
from fedlab.scenario.paths import path_keys
from fedlab.scenario.phases import phases_of


def with_overrides(folder: RunFolder, overrides: Sequence[str] | dict[str, Any]) -> RunFolder:
    """Return the folder, to go on with a scenario that overrides change; nothing is written yet.

    Args:
        folder: The run folder.
        overrides: ``table.key=value`` each, or a program's table.

    Raises:
        FedlabError: If an override is not written as it should be, or changes what must not change.
    """
    wanted = changed(folder.scenario, overrides)
    refused = fixed(_between(folder.scenario, wanted), wanted)
    if refused:
        begun = folder.path / files.SCENARIO
        if isinstance(overrides, dict):
            origin, again = ARGUMENT, f"fedlab.run({str(begun)!r}, ...)"
        else:
            origin = SET
            again = f"'fedlab run {begun} {' '.join(f'{SET} {each}' for each in overrides)}'"
        raise FedlabError(
            f"{origin} {refused[0]}: {', '.join(refused)} cannot change within a run (what may: "
            f"{', '.join(MAY_CHANGE)}, and where files lie); start a new one with {again}"
        )
    return RunFolder(folder.path, wanted, written=folder.written)


def continued_with(folder: RunFolder, wanted: Scenario) -> RunFolder:
    """Return the folder, to go on with a scenario that a deployment was given; nothing is written.

    Raises:
        FedlabError: If it changes what must not change within a run.
    """
    refused = fixed(_between(folder.scenario, wanted), wanted)
    if refused:
        raise FedlabError(
            f"{folder.path} is the run of another scenario: {', '.join(refused)} cannot change "
            f"within a run (what may: {', '.join(MAY_CHANGE)}); resume it with its own "
            f"{folder.path / files.SCENARIO}"
        )
    return RunFolder(folder.path, wanted, written=folder.written)


def check_unedited(folder: RunFolder, saved: Checkpoint | None) -> None:
    """Check that nobody edited the scenario since the checkpoint.

    Raises:
        FedlabError: With the keys that were changed, and what may be done.
    """
    if saved is None or not saved.scenario:
        return
    # Modules are looked for in the current folder, too.
    found, entries = leaves(content_of(folder.written)), _history(folder)
    found.pop("module_folders", None)
    if not differences(_after(saved, entries), found):
        return
    if entries and not differences(_after(saved, entries[:-1]), found):
        # The process that recorded the last change was killed before it made it.
        _keep(folder, entries[:-1])
        return
    edits = differences(_after(saved, entries), found)
    raise FedlabError(
        f"{folder.path / files.SCENARIO} was edited since round {saved.round}: {told(edits)}; put "
        f"it back to go on ('fedlab resume {folder.path} --set rounds=N' changes what may change "
        "within a run), or start a new run with it"
    )


def record(folder: RunFolder, saved: Checkpoint | None) -> list[str]:
    """Write the folder's scenario where it is another than the written one.

    Returns:
        What the user should know of it, a sentence each.

    Raises:
        FedlabError: If so many rounds are done already, or a file cannot be written.
    """
    changes = _between(folder.written, folder.scenario)
    if not changes:
        return []
    done = saved.round if saved is not None else 0
    if folder.scenario.rounds < done:
        raise FedlabError(
            f"rounds: {done} rounds are done already, and {folder.scenario.rounds} are asked for; "
            "a larger number goes on longer"
        )
    entry = ChangesMade(
        round=done,
        time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        changed={key: ChangedKey(before=c.before, after=c.after) for key, c in changes.items()},
    )
    _keep(folder, [*_history(folder), entry])
    folder.write_text(files.SCENARIO, dumps(folder.scenario))
    folder.written = folder.scenario
    if "rounds" in changes:
        # Baselines have the budget of the whole run.
        folder.remove(files.BASELINES)
    notes = [f"from round {done + 1} on, {told(changes)}"]
    return notes + (_stretched(folder.scenario, done) if "rounds" in changes else [])


def hint_of_missing(folder: RunFolder, error: FedlabError) -> str:
    """Return how to go on where an error is of a file of the scenario that lies elsewhere now."""
    key = str(error).partition(": ")[0]
    path = leaves(content_of(folder.scenario)).get(key)
    is_path = key in path_keys(folder.scenario) and isinstance(path, str)
    if not is_path or Path(str(path)).exists():
        return ""
    return f"; if it lies elsewhere now: {folder.resume_command} {SET} {key}=PATH"


def _between(before: Scenario, after: Scenario) -> Any:
    return differences(leaves(content_of(before)), leaves(content_of(after)))


def _stretched(scenario: Scenario, done: int) -> list[str]:
    """Tell where a change of the number of rounds leads to another run than from the start."""
    last = phases_of(scenario)[-1]
    schedule = last.client.schedule
    spread = schedule.name in ("cosine", "linear") or schedule.warmup > 0
    if schedule.over == "steps" or not spread or done < last.first_round:
        return []
    key, whole = "client.schedule", "run"
    if last.phase is not None:
        key, whole = f"phases.{last.phase.number}.{key}", "phase"
    return [
        f"{key}: '{schedule.name}' is spread over all rounds of the {whole}: from round {done + 1} "
        f"on rates are those of a {whole} of {last.own_rounds} rounds, and until then they were not"
    ]


def _history(folder: RunFolder) -> list[ChangesMade]:
    """Return the entries of ``changes.json``."""
    found = read_object(folder.path / files.CHANGES, ChangesFile)
    return found.changes if found is not None else []


def _keep(folder: RunFolder, entries: list[ChangesMade]) -> None:
    if entries:
        folder.write_json(files.CHANGES, ChangesFile(changes=entries).model_dump(by_alias=True))
    else:
        folder.remove(files.CHANGES)


def _after(saved: Checkpoint, entries: list[ChangesMade]) -> Leaves:
    """Return the scenario's values that the checkpoint and what was changed since lead to."""
    found = recorded_leaves(saved.scenario)
    for entry in entries:
        if entry.round >= saved.round:
            found |= {key: change.after for key, change in entry.changed.items()}
    found.pop("module_folders", None)
    return {key: value for key, value in found.items() if value is not None}
