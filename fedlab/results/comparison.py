"""Several runs of one task side by side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fedlab.errors import FedlabError, one_line
from fedlab.metrics.names import MetricName
from fedlab.metrics.quantities import NBSP, bytes_text, seconds_text
from fedlab.results.reading import RunRecord
from fedlab.results.run_groups import RunGroup, groups_of, seed_of
from fedlab.results.sweep_folder import records_in
from fedlab.results.text_tables import TextTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Comparison:
    """Runs of one task.

    Attributes:
        records: The runs, in the order in which they were named.
        metric: Their common headline metric.
    """

    records: Sequence[RunRecord]
    metric: MetricName

    @classmethod
    def load(cls, paths: Sequence[Path], fewest: int = 2) -> Comparison:
        """Read the runs in these folders, of which each may be a run's or a sweep's.

        Args:
            paths: The folders.
            fewest: How many runs there have to be.

        Raises:
            FedlabError: If there are fewer, one is not a run or was never evaluated, or
                their tasks differ.
        """
        # Of a sweep those are compared that have come to an evaluation.
        found = [r for r in records_in(paths) if r.metric is not None or not r.alias]
        if not found and paths:
            raise FedlabError(f"{paths[0]}: no run of this sweep has been evaluated yet")
        return cls.of(found, fewest)

    @classmethod
    def of(cls, records: Sequence[RunRecord], fewest: int = 2) -> Comparison:
        """Return the comparison of runs that have been read.

        Args:
            records: The runs.
            fewest: How many there have to be.

        Raises:
            FedlabError: If there are fewer, one was never evaluated, or their tasks differ.
        """
        if len(records) < fewest:
            raise FedlabError("compare needs two or more run folders")
        for record in records:
            if record.metric is None:
                raise FedlabError(f"{record.path}: this run has no evaluated round to compare")
        first = records[0]
        for other in records[1:]:
            if _task(other) != _task(first) or other.metric != first.metric:
                raise FedlabError(
                    f"these runs learn different things and cannot be compared: {first.name} "
                    f"{_described(first)}, {other.name} {_described(other)}"
                )
            if difference := _other_labels(first, other):
                raise FedlabError(
                    f"these runs learn different things and cannot be compared: {difference}"
                )
        assert first.metric is not None
        return cls(records, first.metric)

    @cached_property
    def groups(self) -> list[RunGroup]:
        """Return the settings of the runs, of which some may have several seeds."""
        return groups_of(self.records)

    @cached_property
    def names(self) -> list[str]:
        """Return a name for each run: what differs, else its folder's, or its path if they repeat.

        Runs of one setting are told apart by their seeds.
        """
        found = {id(r): _name(group, r) for group in self.groups for r in group.records}
        names = [found[id(record)] for record in self.records]
        count = Counter(names)
        return [
            one_line(name if count[name] == 1 else str(record.path))
            for name, record in zip(names, self.records, strict=True)
        ]

    @property
    def sources(self) -> list[str]:
        """Return which folder each run is in, where its name does not say so."""
        pairs = zip(self.names, self.records, strict=True)
        return [f"{name}: {r.path}" for name, r in pairs if name not in (r.name, str(r.path))]

    @property
    def notes(self) -> list[str]:
        """Return what speaks against a comparison of the figures, a sentence each."""
        return [
            f"{other} was tested on other examples than {name}: their figures differ by that, too"
            for compared in self._compared_directly()
            for other, name in _tested_elsewhere(compared)
        ]

    def _compared_directly(self) -> list[list[tuple[str, RunRecord]]]:
        """Return which runs, with their names, are compared with one another.

        Those with one seed are, where settings have several: another may hold out other examples.
        """
        named = list(zip(self.names, self.records, strict=True))
        if all(len(group.records) == 1 for group in self.groups):
            return [named]
        seeds = dict.fromkeys(map(seed_of, self.records))
        return [[pair for pair in named if seed_of(pair[1]) == seed] for seed in seeds]

    @property
    def title(self) -> str:
        """Return the title of the table."""
        kind = "higher is better" if self.metric.higher_is_better else "lower is better"
        data = self.records[0].scenario.data.name
        return one_line(f"Test {self.metric.label} on {data} ({kind})")

    def headers(self) -> list[str]:
        """Return the headers of the table; all columns after the first two are numeric."""
        return [
            *("run", "strategy", "rounds", "final", "best (round)"),
            *("worst 10\u00a0%", "moved", "time"),
        ]

    def rows(self) -> list[list[str]]:
        """Return a row of texts for each run."""
        return [self._row(name, r) for name, r in zip(self.names, self.records, strict=True)]

    def table(self) -> TextTable:
        """Return the table of :meth:`rows`."""
        return TextTable(self.title, self.headers(), self.rows(), 2, self.sources)

    def fairness_table(self) -> TextTable | None:
        """Return the table of :meth:`fairness_rows`, or None where it has none."""
        rows = self.fairness_rows()
        title = f"Clients' {self.metric.label} on their own validation parts"
        return TextTable(title, self.fairness_headers(), rows) if rows else None

    def fairness_headers(self) -> list[str]:
        """Return the headers of :meth:`fairness_rows`; all columns after the first are numeric."""
        worst = f"worst{NBSP}10{NBSP}%"
        return ["run", "round", "clients", "std", worst, "Jain", "Gini"]

    def fairness_rows(self) -> list[list[str]]:
        """Return the spread of the metric over clients, a row for each run that reports it.

        It is measured on the clients' own validation parts (``evaluation.federated``).
        """
        named = zip(self.names, self.records, strict=True)
        return [row for name, record in named if (row := self._fairness(name, record))]

    def draw(self) -> Figure:
        """Draw the test metric of every run over rounds, and over megabytes transferred."""
        # Drawing takes seconds to import, and who reads the figures alone has no need of it.
        from fedlab.results.drawing.bands import draw_bands

        pairs = zip(self.names, self.records, strict=True)
        # Of a long path its end tells runs apart.
        labelled = [(n if len(n) <= 50 else f"…{n[-49:]}", record) for n, record in pairs]
        return draw_bands([RunGroup(name, {}, [record]) for name, record in labelled], self.metric)

    def _fairness(self, name: str, record: RunRecord) -> list[str] | None:
        rows = [row for row in record.rounds if self.metric.name in row.clients]
        if not rows:
            return None
        spread = rows[-1].clients[self.metric.name]
        shown = (spread.mean, spread.std, spread.worst_decile)
        indices = (spread.jain_index, spread.gini)
        return [
            name,
            f"{rows[-1].round}",
            *map(self.metric.text, shown),
            *("–" if math.isnan(index) else f"{index:.3f}" for index in indices),
        ]

    def _row(self, name: str, record: RunRecord) -> list[str]:
        metric, best = self.metric, record.best
        assert best is not None
        last = record.tested[-1]
        spread = next((row.clients for row in reversed(record.rounds) if row.clients), {})
        worst = spread.get(metric.name)
        done = record.rounds[-1].round
        return [
            name,
            one_line(record.scenario.strategy.name, 40),
            f"{done}" if record.status == "finished" else f"{done} ({record.status})",
            metric.text(last.value(metric.name)),
            f"{metric.text(best.value(metric.name))} ({best.round})",
            metric.text(worst.worst_decile) if worst else "–",
            bytes_text(record.bytes_moved),
            seconds_text(record.seconds),
        ]


def _tested_elsewhere(named: Sequence[tuple[str, RunRecord]]) -> Iterator[tuple[str, str]]:
    """Yield each run that was tested otherwise than the first, and the first."""
    name, first = named[0][0], named[0][1].data.test
    for other, record in named[1:]:
        if first is not None and record.data.test is not None and record.data.test != first:
            yield other, name


def _name(group: RunGroup, record: RunRecord) -> str:
    several = len(group.records) > 1
    return f"{group.name}, seed {seed_of(record)}" if several else group.name


def _task(record: RunRecord) -> tuple[object, ...]:
    return (record.scenario.data.name, record.task.kind, record.task.outputs)


def _other_labels(first: RunRecord, other: RunRecord) -> str:
    """Return how the names of classes or targets differ, or an empty string."""
    one, two = first.task.labels, other.task.labels
    if one == two or not (one and two):
        return ""
    alone = [
        f"{', '.join(repr(label) for label in labels[:3])} in {record.name} alone"
        for record, labels in (
            (first, [label for label in one if label not in two]),
            (other, [label for label in two if label not in one]),
        )
        if labels
    ]
    return (
        " and ".join(alone) or f"{first.name} and {other.name} have their classes in other orders"
    )


def _described(record: RunRecord) -> str:
    metric = f", judged by {record.metric.label}" if record.metric else ""
    kind = record.task.kind or "its task"
    return f"does {kind} on '{record.scenario.data.name}'{metric}"
