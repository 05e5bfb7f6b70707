"""A run's record, kept while the run is looked at: what has not changed is not read again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from fedlab import files
from fedlab.results.parsing import M
from fedlab.results.reading import RunRecord
from fedlab.ui.folders import check_without_links
from fedlab.ui.lines import GrowingLines
from fedlab.ui.outline import Stamp, stamp

T = TypeVar("T")

MOST_ROUNDS = 50_000
"""Rounds that are kept of all runs together, at some eight kilobytes each."""
READ = (
    *(files.SCENARIO, files.ENVIRONMENT, files.TASK, files.DATA, files.NOTES, files.CHANGES),
    *(files.PARTITION, files.METRICS, files.FAILURES, files.BASELINES, files.CONFUSION),
    *(files.SUMMARY, files.FORK, files.CROSS_SITE),
)
"""The files that a record is made from."""


class WatchedRun:
    """One run folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._growing: dict[Path, GrowingLines[Any]] = {}
        self._stamp: Stamp = ()
        self._record: RunRecord | None = None
        self._derived: dict[Callable[[RunRecord], Any], Any] = {}

    @property
    def generation(self) -> int:
        """Return how often the run's lines were found to be others, not only more."""
        lines = self._growing.get(self._path / files.METRICS)
        return lines.generation if lines else 0

    @property
    def stamp(self) -> Stamp:
        """Return what shows whether the run's files are as they were."""
        return stamp(self._path, READ)

    def record(self) -> RunRecord:
        """Return the run as it is now.

        Raises:
            FedlabError: If it is gone, or a file in it is damaged.
        """
        check_without_links(self._path)
        now = self.stamp
        if self._record is None or now != self._stamp:
            self._record = RunRecord.load(self._path, self._lines)
            self._stamp = now
            self._derived = {}
        return self._record

    def derived(self, make: Callable[[RunRecord], T]) -> T:
        """Return what a function makes of the record; it is made once for each record.

        Raises:
            FedlabError: If the run is gone, or a file in it is damaged.
        """
        record = self.record()
        if make not in self._derived:
            self._derived[make] = make(record)
        found: T = self._derived[make]
        return found

    def _lines(self, path: Path, kind: type[M], without: str = "", /) -> Iterable[M]:
        if path not in self._growing:
            self._growing[path] = GrowingLines(path, kind, without)
        return self._growing[path].read()


class WatchedRuns:
    """The runs that were looked at last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Path, WatchedRun] = OrderedDict()
        self._rounds: dict[Path, int] = {}

    def at(self, path: Path) -> WatchedRun:
        """Return the run at a path."""
        run = self._runs.setdefault(path, WatchedRun(path))
        self._runs.move_to_end(path)
        return run

    def record(self, path: Path) -> RunRecord:
        """Return the record of the run at a path; others make room for it.

        Raises:
            FedlabError: If it cannot be read.
        """
        found = self.at(path).record()
        self._rounds[path] = len(found.rounds)
        while sum(self._rounds.values()) > MOST_ROUNDS and len(self._runs) > 1:
            oldest, _ = self._runs.popitem(last=False)
            self._rounds.pop(oldest, None)
        return found
