"""What watches a run: progress, metrics, early stopping, checkpoints, trackers, signals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from fedlab import registry
from fedlab.engine.base import Engine
from fedlab.engine.reports import Failure, Report
from fedlab.run.checkpoint import Checkpoint
from fedlab.scenario import Scenario
from fedlab.settings import Settings
from fedlab.training.early_stopping import EarlyStopping, RunStoppingSettings


@dataclass
class RoundOutcome:
    """The outcome of one round.

    Attributes:
        round: Its number; 0 is the evaluation before training.
        record: Its line of ``metrics.jsonl`` (docs/run-folder.md).
        reports: What each client reported.
        failures: The clients that failed.
    """

    round: int
    record: dict[str, Any]
    reports: Sequence[Report] = field(default_factory=list)
    failures: Sequence[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Fold:
    """The outcome of the run that was tested on one fold.

    Attributes:
        fold: Its number, from 1.
        train_examples, test_examples: How many examples clients held, and the fold has.
        rounds: How many rounds were run.
        best_round: The earliest round with the best value of the metric.
        metric: The name of the metric that rounds are judged by.
        best: Its value in that round.
        test: All test metrics of that round.
        left_out: The domain that was left out of training and tested on; "" for random folds.
    """

    fold: int
    train_examples: int
    test_examples: int
    rounds: int
    best_round: int
    metric: str
    best: float
    test: dict[str, float]
    left_out: str = ""


class RunView(Protocol):
    """What a callback may see of the run that it watches.

    Attributes:
        scenario: What is run.
        engine: Where clients run.
        round: The last round that is done.
        weights: (wire_size,) the global weights after it.
        status: "running", then "finished" or "stopped".
    """

    @property
    def scenario(self) -> Scenario: ...  # noqa: D102

    @property
    def engine(self) -> Engine: ...  # noqa: D102

    @property
    def round(self) -> int: ...  # noqa: D102

    @property
    def weights(self) -> torch.Tensor: ...  # noqa: D102

    @property
    def status(self) -> str: ...  # noqa: D102

    def checkpoint(self, record: dict[str, Any]) -> Checkpoint:
        """Return all that the run needs to continue from here.

        Args:
            record: The round's line of ``metrics.jsonl``.
        """
        ...


class Callback:
    """Watches a run; every method does nothing unless a subclass gives it something to do."""

    name: str = ""

    def noted(self, notes: Sequence[str]) -> None:
        """Take what the user should know before the first round, a sentence each."""

    def started(self, run: RunView) -> None:
        """Note that the run begins, or continues from a checkpoint."""

    def phase_started(self, run: RunView, phase: Scenario) -> None:
        """Note that a phase of the run begins, or goes on after a resume."""

    def round_started(self, server_round: int, phase: str, clients: int) -> None:
        """Note that messages go out to ``clients`` clients."""

    def progressed(self, reports: Sequence[Report]) -> None:
        """Note that these clients are done."""

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Note the outcome of a round."""

    def round_failed(self, outcome: RoundOutcome) -> None:
        """Note that a round has too few replies: the run stops with the round before it."""

    def reason_to_stop(self) -> str | None:
        """Return why the run should end now, or None."""
        return None

    def ended(self, run: RunView) -> None:
        """Note that the run is over."""

    def baseline(self, name: str, line: dict[str, Any]) -> None:
        """Take a line of a baseline, as ``baselines.jsonl`` has it."""

    def fold_ended(self, fold: Fold, folds: int) -> None:
        """Take the outcome of one of the ``folds`` folds of a cross-validation."""

    def closed(self) -> None:
        """Finish: the run has ended, and its baselines have been run."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""


class TrackerSettings(Settings):
    """Keys of a table of ``[[trackers]]`` that every tracker has."""

    name: str


class Tracker(Callback):
    """A callback that a scenario names in ``[[trackers]]``.

    Attributes:
        settings: The keys of its table.
        folder: The run folder.
    """

    Settings: ClassVar[type[TrackerSettings]] = TrackerSettings

    @classmethod
    def missing(cls, settings: Any) -> Iterator[str]:
        """Yield why it cannot be used here, such as a package that is missing."""
        yield from ()

    def __init__(self, settings: Any, folder: Path) -> None:
        self.settings = settings
        self.folder = folder


def trackers_of(scenario: Scenario, folder: Path) -> list[Tracker]:
    """Return the trackers that a scenario asks for, in its order."""
    return [registry.trackers.get(table.name)(table, folder) for table in _tables(scenario)]


def objections_of_trackers(scenario: Scenario) -> Iterator[str]:
    """Yield why trackers that a scenario asks for cannot be used here."""
    for table in _tables(scenario):
        yield from registry.trackers.get(table.name).missing(table)


def _tables(scenario: Scenario) -> list[Any]:
    """Return the tables of all trackers, also of one that another key asks for."""
    tables = list(scenario.trackers)
    if scenario.evaluation.tensorboard and "tensorboard" not in [t.name for t in tables]:
        tables.append(TrackerSettings(name="tensorboard"))
    return tables


def package_missing(module: str, tracker: str, called: str) -> Iterator[str]:
    """Yield that a tracker's package is not installed, where it is not.

    Args:
        module: What is imported.
        tracker: The tracker's name, which is also that of the extra.
        called: What to call the package.
    """
    if find_spec(module) is None:
        yield (
            f"trackers: '{tracker}' needs {called}, which is not installed; type: pip install "
            f"'fedlab-sim[{tracker}]'"
        )


class StopWhenGoodEnough(Callback):
    """Ends the run when a metric has stopped improving, or is good enough.

    It is the server's test metric, or the mean over clients' validation parts. Of several phases
    only the last is watched: earlier ones prepare for it, so that none of them ends the run.

    Args:
        settings: What is watched, and what ends the run.
        first: The first round that is watched.
    """

    name = "early_stopping"

    def __init__(self, settings: RunStoppingSettings, first: int = 1) -> None:
        self._metric, self._on, self._first = settings.metric, settings.on, first
        self._stopping = EarlyStopping(settings)

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Take the round's metric."""
        value = outcome.record.get(self._on, {}).get(self._metric)
        if value is not None and outcome.round >= self._first:
            self._stopping.update(value)

    def reason_to_stop(self) -> str | None:
        """Return why to stop."""
        return self._stopping.reason()

    def state(self) -> dict[str, Any]:
        """Return the best value and how long it has stood."""
        watched = {"metric": self._metric, "on": self._on, "first": self._first}
        return {**watched, **self._stopping.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint, unless it watched another metric, or from another round."""
        seen = (state.get("metric", self._metric), state.get("on", "test"), state.get("first", 1))
        if seen == (self._metric, self._on, self._first):
            self._stopping.restore(state)
