"""Writing every round's lines and checkpoint into the run folder."""

from __future__ import annotations

import time
from typing import Any

from fedlab import files
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.folder import RunFolder


class Recorder(Callback):
    """Writes every round's lines and checkpoint.

    The order makes a killed process harmless: clients' lines, then the checkpoint (with the round's
    line in it), then the line itself; resuming drops what is newer than the checkpoint.
    """

    name = "recorder"

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._seconds = 0.0

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Write the round."""
        number = outcome.round
        if number:
            self._folder.forget_end()
        self._folder.append(
            files.CLIENTS,
            (
                {
                    "round": number,
                    "client": report.client,
                    "phase": report.phase,
                    "examples": report.examples,
                    **({} if report.digest is None else {"digest": report.digest}),
                    **{key.removeprefix("train_"): v for key, v in report.metrics.items()},
                }
                for report in outcome.reports
            ),
        )
        self._append_failures(outcome)
        self._seconds += outcome.record.get("seconds", {}).get("total", 0.0)
        start = time.perf_counter()
        self._folder.save(run.checkpoint(outcome.record))
        if "seconds" in outcome.record:
            outcome.record["seconds"]["checkpoint"] = time.perf_counter() - start
        self._folder.append(files.METRICS, [outcome.record])

    def round_failed(self, outcome: RoundOutcome) -> None:
        """Write why clients failed; resuming drops these lines and tries the round again."""
        self._append_failures(outcome)

    def _append_failures(self, outcome: RoundOutcome) -> None:
        lines = ({"round": outcome.round, **vars(failure)} for failure in outcome.failures)
        self._folder.append(files.FAILURES, lines)

    def state(self) -> dict[str, Any]:
        """Return the seconds that rounds took so far."""
        return {"seconds": self._seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue counting."""
        self._seconds = state["seconds"]
