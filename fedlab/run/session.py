"""One run from start to report: what the command line and a program's call have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedlab.results.report.page import write_report
from fedlab.run.baselines import run_baselines
from fedlab.run.callbacks import Callback, trackers_of
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds


class Session:
    """A run folder's scenario, its baselines and its report, with what watches them.

    Whoever uses it holds the folder's lock.

    Args:
        folder: The run folder.
        callbacks: What watches the run, beside the trackers of the scenario.
    """

    def __init__(self, folder: RunFolder, callbacks: Sequence[Callback] = ()) -> None:
        self.folder = folder
        self._callbacks = [*callbacks, *trackers_of(folder.scenario, folder.path)]

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
        report = write_report(self.folder.path)
        for callback in self._callbacks:
            callback.closed()
        return report
