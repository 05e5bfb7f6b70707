"""A callback that ends a run early, as Ctrl-C does, for tests that resume it."""

from __future__ import annotations

from fedlab.run.callbacks import Callback, RoundOutcome, RunView


class StopAfter(Callback):
    """Ends the run after so many rounds."""

    def __init__(self, last: int) -> None:
        self._last, self._round = last, 0

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        self._round = outcome.round

    def reason_to_stop(self) -> str | None:
        return "enough" if self._round >= self._last else None
