"""Settings over rounds: the mean over seeds as a line, its 95 % interval as a band."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlab.metrics.names import MetricName
from fedlab.results.drawing.plots import MEGABYTES, finish, line
from fedlab.results.drawing.style import LIGHT, SERIES, named, new_figure, shared_legend
from fedlab.results.group_curves import curve, megabytes
from fedlab.results.intervals import Estimate
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
        _band(over_megabytes, megabytes(group, rounds), found, role, label, style)
    finish(over_rounds, metric, f"test {metric.label}")
    finish(over_megabytes, metric, "", MEGABYTES)
    shared_legend(figure, over_rounds)
    return figure


def _band(
    axes: Axes, x: Sequence[float], found: Sequence[Estimate], role: str, label: str, style: str
) -> None:
    line(axes, x, [e.mean for e in found], role, label, style)
    if not any(math.isnan(e.half_width) for e in found):
        low, high = [e.low for e in found], [e.high for e in found]
        axes.fill_between(x, low, high, color=LIGHT[role], alpha=0.15, lw=0)
