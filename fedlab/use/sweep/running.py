"""Running a sweep: all of its members, then a table and a plot."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.results.comparison import Comparison
from fedlab.results.comparison_files import write_comparison
from fedlab.results.settings_comparison import SettingsComparison, check_reference
from fedlab.run.rehearsal import rehearse
from fedlab.scenario import load_with_origins
from fedlab.use.sweep.description import Sweep
from fedlab.use.sweep.jobs import Jobs, Outcome
from fedlab.use.sweep.members import Member, SweepFolder, shares_well
from fedlab.use.sweep.points import Point, points_of
from fedlab.use.sweep.search import OptunaSource
from fedlab.use.sweep.sources import Listed

MOST_REHEARSED = 50
"""Settings that are put together before the first is run: each takes a part of a second."""
OUTPUTS = ("comparison.md", "comparison.csv", "comparison.tex", "comparison.json", "curves.png")


class SweepRun:
    """A sweep, ready to be run.

    Args:
        path: Its folder, which is gone on with where it is there.
        sweep: What is run.
        jobs: How many members at a time; None: as many as suit this machine.
        against: The setting that others will be compared with; "" for the first.

    Attributes:
        folder: Its folder.
        jobs: How many members are run at a time.

    Raises:
        FedlabError: If a setting cannot be run.
    """

    def __init__(
        self, path: Path, sweep: Sweep, jobs: int | None = None, against: str = ""
    ) -> None:
        points = points_of(sweep)
        base = load_with_origins(sweep.scenario, SweepFolder(path, sweep, False).overrides(_ALL))
        seeds = sweep.seeds if isinstance(sweep.seeds, int) else len(sweep.seeds)
        search = sweep.search
        count = seeds * len(points) if points else (search.trials if search is not None else 1)
        self.jobs = jobs or _jobs(count, shares_well(base.scenario))
        is_inline = self.jobs > 1 and shares_well(base.scenario)
        self.folder = SweepFolder(path, sweep, is_inline)
        self._sweep = sweep
        members = self.folder.add(points)
        if points:
            check_reference(against, [point.name for point in points])
        self._check(members[: len(points)])
        self.source: Listed | OptunaSource = Listed(members)
        if search is not None and search.sampler != "random":
            self.source = OptunaSource(self.folder, search, self.folder.write)

    def _check(self, members: Sequence[Member]) -> None:
        for member in members[:MOST_REHEARSED]:
            if member.path.exists():
                member.opened()
                continue
            try:
                rehearse(member.scenario)
            except FedlabError as error:
                raise FedlabError(f"setting '{member.point.name}': {error}") from error

    def run(self, ended: Callable[[Outcome], None] = lambda outcome: None) -> bool:
        """Run what is left; return False if Ctrl-C has ended it before.

        Args:
            ended: Called with each run's outcome.
        """
        self.folder.write()
        log = self.folder.path / files.SWEEP_LOG
        return Jobs(self.jobs, log, self._sweep.baselines, ended).run(self.source)

    def best(self) -> Point | None:
        """Return the setting that a search has found; None without a search of Optuna's."""
        return self.source.best() if isinstance(self.source, OptunaSource) else None


_ALL = Point("all settings")


def _jobs(members: int, may_share: bool) -> int:
    """Return how many members run at a time: a core each, where there are enough of them."""
    cores = os.cpu_count() or 1
    return cores if may_share and members >= cores else 1


def compared(
    path: Path, target: float | None = None, against: str = ""
) -> tuple[Comparison, SettingsComparison]:
    """Return the comparison of a sweep's settings.

    Raises:
        FedlabError: If none of its runs was evaluated, or their tasks differ.
    """
    comparison = Comparison.load([path], fewest=1)
    settings = SettingsComparison.of(comparison, target, against)
    return comparison, settings


def write_outputs(path: Path, comparison: Comparison, settings: SettingsComparison) -> None:
    """Write a sweep's tables and plot into its folder."""
    for name in OUTPUTS:
        write_comparison(path / name, comparison, settings)
