"""Settings compared over seeds: means with intervals, paired differences, what a target costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from fedlab.errors import FedlabError, nearest
from fedlab.metrics.names import MetricName
from fedlab.metrics.quantities import bytes_text, seconds_text
from fedlab.results.comparison import Comparison
from fedlab.results.intervals import Estimate, estimate, paired_difference
from fedlab.results.reading import RunRecord
from fedlab.results.rows import RoundRow
from fedlab.results.run_groups import RunGroup, ended, seed_of, without_cut_short
from fedlab.results.text_tables import TextTable

SHARE_OF_BEST = 0.95
"""Of the best setting's last value: the target where none is named."""


def near(metric: MetricName, finals: Sequence[float]) -> float:
    """Return a target near the best of some final values.

    Args:
        metric: Whose values they are.
        finals: The values.
    """
    if metric.higher_is_better:
        return SHARE_OF_BEST * max(finals)
    return min(finals) / SHARE_OF_BEST


def reached(record: RunRecord, metric: MetricName, target: float) -> RoundRow | None:
    """Return the first round in which a run's test metric is as good as a target."""
    for row in record.tested:
        value = row.value(metric.name)
        if value == target or metric.better(value, target):
            return row
    return None


def check_reference(against: str, names: Sequence[str]) -> None:
    """Check that a setting to compare with is one of some settings; "" is the first of them.

    Raises:
        FedlabError: If it is not.
    """
    if against and against not in names:
        raise FedlabError(
            f"--against: '{against}' is none of the settings {', '.join(names)}."
            + nearest(against, names)
        )


@dataclass(frozen=True)
class SettingsComparison:
    """Settings of one task, each run with several seeds.

    Attributes:
        groups: The settings.
        metric: Their common headline metric, on the server's test set.
        wanted: The target that the user names, or None.
        against: The setting that others are compared with; "" for the first.
        left_out: A sentence for each setting of which runs are left out.
    """

    groups: Sequence[RunGroup]
    metric: MetricName
    wanted: float | None = None
    against: str = ""
    left_out: Sequence[str] = ()

    @classmethod
    def of(
        cls, comparison: Comparison, wanted: float | None = None, against: str = ""
    ) -> SettingsComparison:
        """Return the settings of some runs, without the runs whose last round is no end.

        Args:
            comparison: The runs.
            wanted: The target that the user names, or None.
            against: The setting that others are compared with; "" for the first.

        Raises:
            FedlabError: If there is no such setting.
        """
        groups, left_out = without_cut_short(comparison.groups)
        if not groups:  # what they did before they failed is all that there is
            groups, left_out = comparison.groups, []
        return cls(groups, comparison.metric, wanted, against, left_out)

    def __post_init__(self) -> None:
        check_reference(self.against, [group.name for group in self.groups])

    @property
    def reference(self) -> RunGroup:
        """Return the setting that others are compared with."""
        named = [group for group in self.groups if group.name == self.against]
        return (named or list(self.groups))[0]

    @cached_property
    def target(self) -> float:
        """Return the value that rounds, bytes and seconds are counted to."""
        if self.wanted is not None:
            return self.wanted
        return near(self.metric, [self.final(group).mean for group in self.groups])

    def final(self, group: RunGroup) -> Estimate:
        """Return the metric after the last round of a setting's runs."""
        return estimate(self._finals(group))

    def best(self, group: RunGroup) -> Estimate:
        """Return the metric in the best round of each of a setting's runs."""
        rounds = [record.best for record in group.records]
        return estimate([row.value(self.metric.name) for row in rounds if row is not None])

    def difference(self, group: RunGroup) -> Estimate | None:
        """Return by how much a setting ends above the reference, over the seeds of both."""
        own, other = (g.by_seed(self._finals(g)) for g in (group, self.reference))
        return paired_difference(own, other)

    def cost(self, group: RunGroup) -> dict[str, Any]:
        """Return what a setting's runs took to the target: means over those that reached it."""
        found = [(r, reached(r, self.metric, self.target)) for r in group.records]
        costs = [_until(record, row.round) for record, row in found if row is not None]
        result: dict[str, Any] = {"reached": len(costs), "of": len(found)}
        for place, name in enumerate(("rounds", "bytes", "seconds")):
            result[name] = fmean(cost[place] for cost in costs) if costs else None
        return result

    def table(self) -> TextTable:
        """Return a row for each setting."""
        shown = self.metric.text(self.target)
        kind = "higher is better" if self.metric.higher_is_better else "lower is better"
        data = self.groups[0].records[0].scenario.data.name
        title = (
            f"Test {self.metric.label} on {data} after the last round ({kind}): mean over seeds ± "
            f"half of its 95 % interval; what it takes to {shown}"
        )
        headers = ["setting", "seeds", "final", "std", "best", "rounds", "moved", "time"]
        rows = [self._row(group) for group in self.groups]
        return TextTable(title, headers, rows, sources=[_source(group) for group in self.groups])

    def differences(self) -> TextTable:
        """Return a row for each setting but the reference: its paired difference to that."""
        title = (
            f"Difference to {self.reference.name}, of runs with the same seed: mean and 95 % "
            "interval"
        )
        others = [group for group in self.groups if group is not self.reference]
        rows = [
            [group.name, str(found.count), *self._signed(found)]
            for group in others
            if (found := self.difference(group)) is not None
        ]
        return TextTable(title, ["setting", "pairs", "difference", "from", "to"], rows)

    def notes(self) -> list[str]:
        """Return what speaks against the figures, a sentence each."""
        found = [*self.left_out, *filter(None, map(_unfinished, self.groups))]
        seeds = {group.name: {seed_of(r) for r in group.records} for group in self.groups}
        own = seeds[self.reference.name]
        unpaired = [name for name, theirs in seeds.items() if theirs != own]
        if unpaired:
            found.append(
                f"other seeds than {self.reference.name}: {', '.join(unpaired)}; differences are "
                "over the seeds that both have"
            )
        if any(len(group.records) == 1 for group in self.groups):
            found.append("one seed has no interval; three or more say what a difference is worth")
        return found

    def as_json(self) -> dict[str, Any]:
        """Return all figures, each with the runs that it is made from."""
        return {
            "metric": self.metric.name,
            "higher_is_better": self.metric.higher_is_better,
            "target": self.target,
            "reference": self.reference.name,
            "settings": [self._setting(group) for group in self.groups],
            "notes": self.notes(),
        }

    def _setting(self, group: RunGroup) -> dict[str, Any]:
        difference = None if group is self.reference else self.difference(group)
        return {
            "name": group.name,
            "keys": group.keys,
            "final": self.final(group).as_json(),
            "best": self.best(group).as_json(),
            "difference": difference.as_json() if difference else None,
            "to_target": self.cost(group),
            "runs": [
                {"path": str(record.path), "seed": seed_of(record), "final": value}
                for record, value in zip(group.records, self._finals(group), strict=True)
            ],
        }

    def _finals(self, group: RunGroup) -> list[float]:
        return [record.tested[-1].value(self.metric.name) for record in group.records]

    def _row(self, group: RunGroup) -> list[str]:
        final, cost = self.final(group), self.cost(group)
        count = cost["reached"]
        rounds = "–" if not count else f"{cost['rounds']:.3g}"
        if 0 < count < cost["of"]:
            rounds += f" ({count} of {cost['of']})"
        return [
            group.name,
            str(final.count),
            self._with_interval(final),
            "–" if math.isnan(final.std) else self.metric.text(final.std),
            self.metric.text(self.best(group).mean),
            rounds,
            _or_dash(cost["bytes"], lambda value: bytes_text(round(value))),
            _or_dash(cost["seconds"], seconds_text),
        ]

    def _with_interval(self, found: Estimate) -> str:
        if math.isnan(found.half_width):
            return self.metric.text(found.mean)
        return f"{self._bare(found.mean)} ± {self.metric.text(found.half_width)}"

    def _bare(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.metric.is_fraction else f"{value:.4g}"

    def _signed(self, found: Estimate) -> list[str]:
        """Return a difference and its interval, with signs; in points where values are shares."""
        scale = 100 if self.metric.is_fraction else 1
        cells = [
            "–" if math.isnan(value) else f"{scale * value:+.2f}".replace("-", "−")
            for value in (found.mean, found.low, found.high)
        ]
        return [cells[0] + (" points" if self.metric.is_fraction else ""), *cells[1:]]


def _until(record: RunRecord, last: int) -> tuple[int, int, float]:
    """Return the round, and the bytes and seconds that a run took up to it."""
    rows = [row for row in record.rounds if row.round <= last]
    seconds = sum(row.seconds.get("total", 0.0) for row in rows)
    return last, sum(row.bytes_down + row.bytes_up for row in rows), seconds


def _or_dash(value: float | None, text: Callable[[Any], str]) -> str:
    return "–" if value is None else text(value)


def _unfinished(group: RunGroup) -> str:
    """Return which of a setting's runs did not come to their end, or an empty string."""
    cut_short = [ended(record) for record in group.records if not record.came_to_its_end]
    return f"{group.name}: not finished: {', '.join(cut_short)}" if cut_short else ""


def _source(group: RunGroup) -> str:
    """Return which runs a row is made from."""
    return f"{group.name}: {', '.join(str(record.path) for record in group.records)}"
