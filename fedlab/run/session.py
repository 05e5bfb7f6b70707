"""One run from start to report: what the command line and a program's call have in common."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from fedlab.results.report.process import ReportProcess
from fedlab.run.baselines import run_baselines
from fedlab.run.callbacks import Callback, RoundOutcome, RunView, trackers_of
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds

SECONDS_TO_GET_READY = 4.0


class _ReportAhead(Callback):
    """Lets the report's process get ready when the rounds are about to end."""

    def __init__(self, process: ReportProcess) -> None:
        self._process = process
        self._begun = 0.0
        self._first = 0

    def started(self, run: RunView) -> None:
        """Note when and where the rounds begin."""
        self._begun, self._first = time.perf_counter(), run.round

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Start the process if those that are left take no longer than it."""
        done = outcome.round - self._first
        if done > 0:
            a_round = (time.perf_counter() - self._begun) / done
            if a_round * (run.scenario.rounds - outcome.round) < SECONDS_TO_GET_READY:
                self._process.start()

    def ended(self, run: RunView) -> None:
        """End the process of a run that has failed."""
        if run.status == "running":
            self._process.close()


class Session:
    """A run folder's scenario, its baselines and its report, with what watches them.

    Whoever uses it holds the folder's lock.

    Args:
        folder: The run folder.
        callbacks: What watches the run, beside the trackers of the scenario.
    """

    def __init__(self, folder: RunFolder, callbacks: Sequence[Callback] = ()) -> None:
        self.folder = folder
        self._report = ReportProcess()
        trackers = trackers_of(folder.scenario, folder.path)
        self._callbacks = [*callbacks, *trackers, _ReportAhead(self._report)]

    @property
    def has_ended(self) -> bool:
        """Return whether nothing is left to be trained."""
        saved = self.folder.latest()
        return saved is not None and saved.round >= self.folder.scenario.rounds

    def train(self) -> Rounds:
        """Run the scenario from its newest checkpoint on.

        Raises:
            FedlabError: If another process writes to the folder, or the scenario cannot be run.
        """
        return run(self.folder, self._callbacks)

    def compare(self, rounds: Rounds) -> None:
        """Run the baselines of a run that is finished.

        Raises:
            FedlabError: If the data are not those of the run any more, or a file is damaged.
        """
        if rounds.status == "finished":
            run_baselines(self.folder, self._callbacks)

    def conclude(self) -> Path:
        """Write the report, and let callbacks finish; return the report's file.

        Raises:
            FedlabError: If a file of the folder is damaged, or cannot be written.
        """
        report = self._report.write(self.folder.path)
        for callback in self._callbacks:
            callback.closed()
        return report
