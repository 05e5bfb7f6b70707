"""A setting over rounds: what its runs reached, moved and took, as means over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import fmean

from fedlab.metrics.names import MetricName
from fedlab.results.intervals import Estimate, estimate
from fedlab.results.rows import RoundRow
from fedlab.results.run_groups import RunGroup


def curve(group: RunGroup, metric: MetricName) -> tuple[list[int], list[Estimate]]:
    """Return the rounds in which all runs of a setting were tested, and what they reached."""
    tested = [{row.round: row.value(metric.name) for row in r.tested} for r in group.records]
    rounds = sorted(set.intersection(*(set(values) for values in tested)))
    return rounds, [estimate([values[number] for values in tested]) for number in rounds]


def megabytes(group: RunGroup, rounds: Sequence[int]) -> list[float]:
    """Return the mean megabytes that a setting's runs have moved by each of some rounds."""
    return _by_rounds(group, rounds, lambda row: (row.bytes_down + row.bytes_up) / 1e6)


def seconds(group: RunGroup, rounds: Sequence[int]) -> list[float]:
    """Return the mean seconds that a setting's runs have taken by each of some rounds."""
    return _by_rounds(group, rounds, lambda row: row.seconds.get("total", 0.0))


def _by_rounds(
    group: RunGroup, rounds: Sequence[int], cost: Callable[[RoundRow], float]
) -> list[float]:
    """Return the mean over runs of what they have spent by each round."""
    spent = []
    for record in group.records:
        sums = accumulate(cost(row) for row in record.rounds)
        spent.append(dict(zip((row.round for row in record.rounds), sums, strict=True)))
    return [fmean(by_round[number] for by_round in spent) for number in rounds]
