"""What only watches a run: progress, metrics, early stopping, checkpoints, signals."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

import torch

from fedlab.engine.base import Engine
from fedlab.engine.reports import Failure, Report
from fedlab.run.checkpoint import Checkpoint
from fedlab.scenario import Scenario
from fedlab.training.early_stopping import EarlyStopping, EarlyStoppingSettings


@dataclass
class RoundOutcome:
    """What came of one round.

    Attributes:
        round: Its number; 0 is the evaluation before training.
        record: Its line of ``metrics.jsonl`` (docs/run-folder.md).
        reports: What each client said of itself.
        failures: The clients that failed.
    """

    round: int
    record: dict[str, Any]
    reports: Sequence[Report] = field(default_factory=list)
    failures: Sequence[Failure] = field(default_factory=list)


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

    def started(self, run: RunView) -> None:
        """Note that the run begins, or goes on from a checkpoint."""

    def round_started(self, server_round: int, phase: str, clients: int) -> None:
        """Note that messages go out to ``clients`` clients."""

    def progressed(self, reports: Sequence[Report]) -> None:
        """Note that these clients are done."""

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Note what came of a round."""

    def round_failed(self, outcome: RoundOutcome) -> None:
        """Note that a round has too few replies: the run stops with the round before it."""

    def reason_to_stop(self) -> str | None:
        """Return why the run should end now, or None."""
        return None

    def ended(self, run: RunView) -> None:
        """Note that the run is over."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""


class StopWhenGoodEnough(Callback):
    """Ends the run when the server's test metric has stopped improving, or is good enough."""

    name = "early_stopping"

    def __init__(self, settings: EarlyStoppingSettings) -> None:
        self._metric = settings.metric
        self._stopping = EarlyStopping(settings)

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Take the round's test metric."""
        value = outcome.record.get("test", {}).get(self._metric)
        if value is not None and outcome.round > 0:
            self._stopping.update(value)

    def reason_to_stop(self) -> str | None:
        """Return why to stop."""
        return self._stopping.reason()

    def state(self) -> dict[str, Any]:
        """Return the best value and how long it has stood."""
        return self._stopping.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._stopping.restore(state)


class StopOnInterrupt(Callback):
    """Ctrl-C ends the run after the round; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def started(self, run: RunView) -> None:
        """Take over the interrupt signal."""
        try:
            self._before = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not in the main thread, where nobody presses Ctrl-C
            self._before = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def reason_to_stop(self) -> str | None:
        """Return why to stop."""
        return "interrupted" if self.asked else None

    def ended(self, run: RunView) -> None:
        """Give the interrupt signal back."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
