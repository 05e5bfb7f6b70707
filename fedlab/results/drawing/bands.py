"""Settings over rounds: the mean over seeds as a line, its 95 % interval as a band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlab.metrics.names import MetricName
from fedlab.results.drawing.plots import MEGABYTES, communication, finish, line
from fedlab.results.drawing.style import LIGHT, SERIES, named, new_figure, shared_legend
from fedlab.results.intervals import Estimate, estimate
from fedlab.results.run_groups import RunGroup

LINE_STYLES = ("-", "--", ":", "-.")


def draw_bands(groups: Sequence[RunGroup], metric: MetricName) -> Figure:
    """Draw each setting's test metric over rounds, and over megabytes transferred."""
    figure, (over_rounds, over_megabytes) = new_figure(panels=2, size=(9.6, 4.2))
    for place, group in enumerate(groups):
        role = SERIES[place % len(SERIES)]
        style = LINE_STYLES[place // len(SERIES) % len(LINE_STYLES)]
        rounds, found = curve(group, metric)
        label = named(group.name, 60)
        _band(over_rounds, rounds, found, role, label, style)
        _band(over_megabytes, _megabytes(group, metric, rounds), found, role, label, style)
    finish(over_rounds, metric, f"test {metric.label}")
    finish(over_megabytes, metric, "", MEGABYTES)
    shared_legend(figure, over_rounds)
    return figure


def curve(group: RunGroup, metric: MetricName) -> tuple[list[int], list[Estimate]]:
    """Return the rounds in which all runs of a setting were tested, and what they reached."""
    tested = [{row.round: row.value(metric.name) for row in r.tested} for r in group.records]
    rounds = sorted(set.intersection(*(set(values) for values in tested)))
    return rounds, [estimate([values[number] for values in tested]) for number in rounds]


def _megabytes(group: RunGroup, metric: MetricName, rounds: Sequence[int]) -> list[float]:
    """Return the mean megabytes that runs have moved by each of some rounds."""
    moved = []
    for record in group.records:
        megabytes, _ = communication(record, metric)
        moved.append(dict(zip((row.round for row in record.tested), megabytes, strict=True)))
    return [fmean(by_round[number] for by_round in moved) for number in rounds]


def _band(
    axes: Axes, x: Sequence[float], found: Sequence[Estimate], role: str, label: str, style: str
) -> None:
    line(axes, x, [e.mean for e in found], role, label, style)
    if not any(math.isnan(e.half_width) for e in found):
        low, high = [e.low for e in found], [e.high for e in found]
        axes.fill_between(x, low, high, color=LIGHT[role], alpha=0.15, lw=0)
