"""``fedlab.run``: simulates a scenario and returns its run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlab.api.run import Run
from fedlab.api.scenario import Scenario, Source
from fedlab.api.session import Watching, execute, start_engine
from fedlab.run.folder import RunFolder

if TYPE_CHECKING:
    from fedlab.run.callbacks import Callback


def run(
    scenario: Source | None = None,
    /,
    *,
    runs: str | PathLike[str] = "runs",
    path: str | PathLike[str] | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    stop: threading.Event | None = None,
    **overrides: Any,
) -> Run:
    """Simulate a scenario, write its run folder and report, and return the run.

    It is what ``fedlab run`` does. Interrupted (Ctrl-C, the interruption of a notebook's cell), it
    stops after the round, with all saved, and returns a run that :meth:`Run.resume` continues.

    Args:
        scenario: The name of a built-in scenario, the path of a TOML file, a table, or a
            :class:`Scenario`; None: the overrides say everything.
        runs: The folder in which the run folder is made, named after the scenario and the time.
        path: The run folder itself, which must not be there yet; in place of ``runs``.
        progress: Whether progress is shown: bars in a notebook and on a terminal, else lines on
            standard error.
        callbacks: What else watches the run.
        stop: Once it is set, by another thread, the run ends after the round.
        overrides: Keys of the scenario, as in :class:`Scenario`: ``rounds=3``,
            ``client__optimizer__lr=0.1``, ``strategy={"name": "fedprox", "proximal_mu": 0.1}``.

    Raises:
        FedlabError: With every problem of the scenario, or whatever speaks against the run.
        KeyboardInterrupt: If it is interrupted a second time, or before the first round.

    Example:
        >>> found = run("fedavg", rounds=2, progress=False)  # doctest: +SKIP
        >>> found.metrics["test.accuracy"]  # doctest: +SKIP
    """
    chosen, watching = Scenario(scenario, **overrides), Watching(progress, callbacks, stop)
    start_engine(chosen.settings)
    if path is None:
        folder = RunFolder.create(Path(runs), chosen.name, chosen.settings)
    else:
        folder = RunFolder.create_at(Path(path), chosen.settings)
    execute(folder, watching)
    return Run(folder.path)
