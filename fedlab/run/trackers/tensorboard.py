"""A run's figures as TensorBoard event files."""

from __future__ import annotations

from collections.abc import Iterator

from fedlab.registry import trackers
from fedlab.results.tensorboard import write_tensorboard
from fedlab.run.callbacks import Tracker, TrackerSettings, package_missing


@trackers.register("tensorboard")
class TensorBoard(Tracker):
    """TensorBoard: writes event files to ``tensorboard/`` in the run folder, baselines included.

    They are written from the run folder's lines once the run has ended, so that a resumed run's
    are whole.
    """

    @classmethod
    def missing(cls, settings: TrackerSettings) -> Iterator[str]:
        """Yield that the package is missing, if it is."""
        yield from package_missing("tensorboard", "tensorboard", "TensorBoard")

    def closed(self) -> None:
        """Write the event files."""
        write_tensorboard(self.folder)
