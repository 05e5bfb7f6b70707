"""One run, read from its folder: figures as tables, plots, the model, and its continuation."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fedlab import files
from fedlab.api import frames
from fedlab.api.scenario import Scenario
from fedlab.api.tables import Table
from fedlab.errors import FedlabError, unknown
from fedlab.results.parsing import Anything, read_object
from fedlab.results.reading import RunRecord
from fedlab.run.folder import RunFolder
from fedlab.trust import own_code

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from fedlab.api.trained import Inputs, TrainedModel
    from fedlab.run.callbacks import Callback
    from fedlab.run.replay import Replay

_SUMMARISED = "everything else of the run can be read"


def load_run(path: str | PathLike[str], trust: bool = False) -> Run:
    """Return the run in a folder, whether finished, stopped, killed or still in progress.

    Args:
        path: The run folder.
        trust: Whether its scenario, model and predictions may import classes that the run names as
            ``module:Class``; the folder may be a stranger's. Those of this program are known.

    Raises:
        FedlabError: If this is not a run folder.
    """
    return Run(path, trust)


class Run:
    """A run; what it returns is read from its folder each time.

    Attributes:
        path: The run folder.
    """

    def __init__(self, path: str | PathLike[str], trust: bool = True) -> None:
        self.path = Path(path).absolute()
        self._trust = trust
        if not (self.path / files.SCENARIO).is_file():
            RunRecord.load(self.path)

    @cached_property
    def scenario(self) -> Scenario:
        """The resolved scenario.

        Raises:
            FedlabError: If it names classes that cannot be imported here.
        """
        with self._trusted():
            return Scenario.of(RunFolder.open(self.path).scenario, self.path.name)

    @property
    def metrics(self) -> pd.DataFrame:
        """Each round's figures: a row a round, a column for each key, as ``test.accuracy``."""
        return frames.metrics(self.path)

    @property
    def clients(self) -> pd.DataFrame:
        """What clients reported: a row for each client, round and phase ("train", "evaluate")."""
        return frames.clients(self.path)

    @property
    def failures(self) -> pd.DataFrame:
        """Clients that failed: a row each, with round, phase, reason and traceback."""
        return frames.failures(self.path)

    @property
    def baselines(self) -> pd.DataFrame:
        """The baselines' figures: a row for each round, or for each client that learned alone."""
        return frames.baselines(self.path)

    @property
    def summary(self) -> dict[str, Any]:
        """The run in a few numbers (``summary.json``); empty until it has ended."""
        found = read_object(self.path / files.SUMMARY, Anything, _SUMMARISED)
        return dict(found.root) if found is not None else {}

    @property
    def status(self) -> str:
        """ "finished", "stopped", "failed", or "unfinished" while there is no summary."""
        return self._record().status

    @property
    def notes(self) -> list[str]:
        """What was said before the first round, a sentence each."""
        return self._record().notes

    def report(self, share: bool = False) -> Path:
        """Write the report and its plots again; return the HTML file.

        Args:
            share: Write ``report-shared.html`` alone, without what is private.

        Raises:
            FedlabError: If a file of the run is damaged, or cannot be written.
        """
        from fedlab.results.report.page import write_report

        return write_report(self.path, share)

    def plot(self, what: str | None = None) -> Figure:
        """Return a plot of the run.

        Args:
            what: A metric of the test set ("accuracy", "loss"), drawn over rounds beside the
                baselines; or a plot of the report ("clients-over-rounds", "partition",
                "confusion", "communication", "seconds" ...); None: the metric that the task is
                judged by.

        Raises:
            FedlabError: If the run has no such plot; the message lists those that it has.
        """
        from fedlab.api.notebook import show_figures
        from fedlab.metrics.names import metric_name
        from fedlab.results.drawing.plots import draw_curves
        from fedlab.results.report.sections import sections

        record = self._record()
        show_figures()
        metrics = list(dict.fromkeys(name for row in record.tested for name in row.test))
        if what is None and record.metric is not None:
            return draw_curves(record, record.metric)
        if what in metrics:
            return draw_curves(record, metric_name(what))
        pictures = {p.name: p.figure for section in sections(record) for p in section.pictures}
        if what in pictures:
            return pictures[what]
        if what is None:
            raise FedlabError(f"{self.path} has nothing to plot yet: no round was evaluated")
        raise FedlabError(unknown("plot", what, [*metrics, *pictures]))

    def model(self, best: bool = False) -> TrainedModel:
        """Return the trained network with its preparation, as a torch module.

        Args:
            best: With the weights of the round that was best on the clients' validation parts.

        Raises:
            FedlabError: If the run did not finish, or its weights do not fit its scenario.
        """
        from fedlab.api.trained import trained_model

        with self._trusted():
            return trained_model(self.path, best)

    def predict(
        self,
        inputs: Inputs,
        top: int = 3,
        best: bool = False,
        on_error: Literal["refuse", "skip"] = "refuse",
    ) -> pd.DataFrame:
        """Return predictions for new inputs, a row each.

        Args:
            inputs: Files, folders or texts, one or several, as ``fedlab predict`` takes them; a
                DataFrame of a table's columns; or inputs as the data set stores them: an array or
                tensor (N, ...), such as uint8 pictures (N, C, H, W).
            top: How many of the most probable classes are reported.
            best: With the weights of the round that was best on the clients' validation parts.
            on_error: What is done about an input that cannot be read: "refuse", or "skip", which
                says why in the column ``error`` and predicts the others.

        Raises:
            FedlabError: If an input cannot be read or does not fit, or the run did not finish.
        """
        from fedlab.api.trained import predictions

        with self._trusted():
            return predictions(self.path, inputs, top, best, on_error)

    def resume(
        self,
        *,
        progress: bool = True,
        callbacks: Sequence[Callback] = (),
        stop: threading.Event | None = None,
        **overrides: Any,
    ) -> Run:
        """Continue after the last complete round, to the same final weights; return the run.

        Args:
            progress, callbacks, stop: As in :func:`fedlab.run`.
            overrides: Keys that may change within a run: ``rounds=20`` continues longer, also if
                it has ended; ``engine__workers=4``.

        Raises:
            FedlabError: If it cannot be continued, or an override must not change.
        """
        from fedlab.api.session import Watching, execute, start_engine
        from fedlab.run.changes import with_overrides

        folder = RunFolder.open(self.path)
        if folder.is_deployed:
            raise FedlabError(
                f"{self.path} is the run of a deployment, whose sites have its data: "
                f"'{folder.resume_command}' goes on with it at the sites"
            )
        if overrides:
            folder = with_overrides(folder, Table(overrides).content)
        start_engine(folder.scenario)
        execute(folder, Watching(progress, callbacks, stop))
        self.__dict__.pop("scenario", None)
        return self

    def replay(self, round: int, client: int, alone: bool = False) -> Replay:  # noqa: A002
        """Run one client's training step again, in this process, where breakpoints stop it.

        Args:
            round: The round, from 1; those before it are run again from the nearest checkpoint on.
            client: The client.
            alone: Train the client by itself also where the run trained several at once.

        Returns:
            Its update, and whether it is that of the run, bit for bit (``agrees``).

        Raises:
            FedlabError: If the client did not train in that round, or the data are not the run's.
            Exception: Whatever the client's own code raises.
        """
        from fedlab.run.replay import replay

        return replay(RunFolder.open(self.path), round, client, alone)

    def _trusted(self) -> AbstractContextManager[None]:
        return own_code(self._trust, "fedlab.load_run(path, trust=True) does, if you know it")

    def _record(self) -> RunRecord:
        return RunRecord.load(self.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        record = self._record()
        done = max((row.round for row in record.rounds), default=0)
        reached = ""
        if record.metric is not None:
            value = record.tested[-1].value(record.metric.name)
            reached = f", test {record.metric.label} {record.metric.text(value)}"
        return f"<Run {self.path.name}: {record.status}, round {done}{reached}>"

    def _repr_html_(self) -> str:
        from fedlab.api.notebook import run_html

        return run_html(self._record())
