"""The lines of a method's rounds, for a folder that reports and comparisons read."""

from __future__ import annotations

from typing import Any

from fedlab.run.callbacks import Callback, RoundOutcome, RunView


class Lines(Callback):
    """Keeps the line of each round.

    Attributes:
        kept: The lines, as ``metrics.jsonl`` has them.
    """

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Keep the round's line."""
        self.kept.append(outcome.record)
