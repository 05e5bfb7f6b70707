"""A run that shares its first rounds with another, and goes on with other keys.

Both have the same weights, states and random draws up to the fork, so that what differs after it
is due to the keys alone.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.run import checkpoint
from fedlab.run.chain import WEIGHTS
from fedlab.run.changes import check_unedited
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.lines import up_to_round
from fedlab.run.rehearsal import rehearse
from fedlab.run.replay import StopBefore, check_here
from fedlab.scenario import Scenario, dumps
from fedlab.scenario.changes import Change, content_of, differences, leaves
from fedlab.scenario.loading import changed

PREFIX = ("seed", "data", "model", "phases", "downlink")
"""Tables that decide what the common rounds are, or which weights there are."""
_DESCRIBING = (files.TASK, files.DATA, files.PARTITION, files.ATTACK, files.NOTES)
_LINES = (files.METRICS, files.CLIENTS, files.FAILURES)


@dataclass(frozen=True)
class Fork:
    """A run that goes on from another's round.

    Attributes:
        folder: Its folder.
        round: The last common round.
        changes: What is another from then on, by key.
    """

    folder: RunFolder
    round: int
    changes: dict[str, Change]


def fork(
    parent: RunFolder,
    at: int,
    overrides: Sequence[str],
    path: Path,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Fork:
    """Make the folder of a run that goes on from a round of another with other keys.

    Where the run keeps no checkpoint of that round, the rounds since the nearest one before, or
    all, are run again first, in the new folder: they lead to the same bits, which is checked.

    Args:
        parent: The folder of the run.
        at: The last common round.
        overrides: ``table.key=value`` each.
        path: The new folder.
        tell: Takes sentences on what is under way.

    Raises:
        FedlabError: If the run has not come so far, a key decides what the common rounds are, or
            the new scenario cannot be run.
    """
    wanted, changes = _wanted(parent, at, overrides)
    saved = checkpoint.load_latest(parent.checkpoints, at)
    made = RunFolder.create_at(path, parent.scenario)
    try:
        _copy(parent, made, saved)
        if saved is None or saved.round < at:
            _reach(made, at, tell)
        _check_common(parent, made, at)
        about = {key: {"from": c.before, "to": c.after} for key, c in changes.items()}
        parent_path = str(parent.path.absolute())
        made.write_json(files.FORK, {"of": parent_path, "round": at, "changed": about})
        _go_over(made, wanted, changes)
    except BaseException:
        shutil.rmtree(path)
        raise
    return Fork(RunFolder.open(path), at, changes)


def _wanted(
    parent: RunFolder, at: int, overrides: Sequence[str]
) -> tuple[Scenario, dict[str, Change]]:
    """Return the scenario from the fork on, checked, and what is changed."""
    check_here(parent)
    done = checkpoint.newest(parent.checkpoints)
    last = done[0] if done is not None else 0
    if not 0 <= at <= last:
        raise FedlabError(f"--at {at}: {parent.path} has rounds 0 to {last}")
    check_unedited(parent, parent.latest())
    wanted = changed(parent.scenario, overrides)
    changes = differences(leaves(content_of(parent.scenario)), leaves(content_of(wanted)))
    changes.pop("module_folders", None)
    if not changes:
        raise FedlabError("--set: nothing differs; name a key that is another after the fork")
    refused = [key for key in changes if key.partition(".")[0] in PREFIX]
    if refused:
        decide = "decides" if len(refused) == 1 else "decide"
        again = shlex.join(part for each in overrides for part in ("--set", each))
        raise FedlabError(
            f"--set {refused[0]}: {', '.join(refused)} {decide} what the common rounds are; start "
            f"a new run with 'fedlab run {parent.path / files.SCENARIO} {again}'"
        )
    if wanted.rounds <= at:
        raise FedlabError(f"--set rounds: {wanted.rounds} rounds end before the fork goes on")
    rehearse(wanted)
    return wanted, changes


def _copy(parent: RunFolder, made: RunFolder, saved: checkpoint.Checkpoint | None) -> None:
    """Copy what the common rounds have left, as far as a checkpoint reaches."""
    if saved is None:
        return
    for name in (*_DESCRIBING, files.ENVIRONMENT):
        if (parent.path / name).is_file():
            shutil.copy2(parent.path / name, made.path / name)
    for name in _LINES:
        if (parent.path / name).is_file():
            lines = list(up_to_round(parent.path / name, saved.round))
            made.replace(name, partial(_write, lines=lines))
    own = checkpoint.path_of(parent.checkpoints, saved.round)
    shutil.copytree(own, checkpoint.path_of(made.checkpoints, saved.round))
    for name in saved.clients:
        _copy_file(parent.client_states / name, made.client_states / name)
    if parent.best_weights.is_dir():
        shutil.copytree(parent.best_weights, made.best_weights)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _write(path: Path, lines: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(lines))


def _reach(made: RunFolder, at: int, tell: Callable[[str], None]) -> None:
    """Run the common rounds that no checkpoint has."""
    rounds = run(made, [StopBefore(at + 1, tell)])
    if rounds.round != at:
        raise FedlabError(f"the common rounds ended after round {rounds.round}: {rounds.reason}")
    made.forget_end()


def _check_common(parent: RunFolder, made: RunFolder, at: int) -> None:
    """Check that the common rounds are the parent's, bit for bit.

    Raises:
        FedlabError: If one is not, as on another kind of processor.
    """
    recorded = {line["round"]: line for line in parent.lines(files.METRICS)}
    for line in made.lines(files.METRICS):
        other = recorded.get(line["round"], {})
        if line["round"] <= at and line.get(WEIGHTS) != other.get(WEIGHTS, line.get(WEIGHTS)):
            raise FedlabError(
                f"round {line['round']} gives other weights here than in {parent.path}: packages "
                "or processor differ, or fedlab itself; 'fedlab verify' says more"
            )


def _go_over(made: RunFolder, wanted: Scenario, changes: dict[str, Change]) -> None:
    """Let the folder go on with another scenario.

    What an algorithm keeps is another's no more: where its name changes, its state begins anew.
    """
    saved = made.latest()
    assert saved is not None
    tables = {key.partition(".")[0] for key in changes if _names(key)}
    if "strategy" in tables:
        saved.strategy = {}
    if "client" in tables:
        saved.clients = ()
    if any(key.startswith("updates.") for key in changes):
        saved.updates = []
    forked = RunFolder(made.path, wanted)
    forked.save(saved)
    forked.write_text(files.SCENARIO, dumps(wanted))


def _names(key: str) -> bool:
    """Return whether a key is the name of a table's algorithm."""
    return key in ("strategy.name", "client.name")
