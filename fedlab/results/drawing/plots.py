"""The plots of one run, each a function from its record to a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fedlab.metrics.names import MetricName, metric_name, steps_text
from fedlab.metrics.quantities import NBSP
from fedlab.metrics.spread import FloatArray, describe
from fedlab.results.baselines import LABELS, LocalSpread, baseline_curve, local_spread
from fedlab.results.drawing.style import LIGHT, SERIES, legend, named, new_figure
from fedlab.results.reading import RunRecord
from fedlab.results.rows import CrossSite, RoundRow

MARKED_UP_TO = 30
BARS_UP_TO = 60
CLASSES_WITH_NUMBERS = 12
CLASSES_WITH_NAMES = 30
MEGABYTES = "MB moved, down and up, all clients together"
PHASES = ("train", "evaluate", "aggregate", "configure", "checkpoint", "other")


def draw_curves(record: RunRecord, metric: MetricName) -> Figure:
    """Draw a metric on the server's test set over rounds, with the baselines that were run.

    Clients that train alone are drawn for the headline metric only: the loss of a single client, on
    classes that it has never seen, would compress all other curves.
    """
    figure, (axes,) = new_figure()
    local = local_spread(record, metric) if metric == record.metric else None
    if local:
        _draw_local(axes, local)
    for name, label in LABELS.items():
        curve = baseline_curve(record, name, metric)
        if curve:
            axes.plot(curve.rounds, curve.values, "--", color=LIGHT[name], label=label)
    _draw_parent(axes, record, metric)
    rounds = [row.round for row in record.tested]
    values = [row.value(metric.name) for row in record.tested]
    line(axes, rounds, values, "federated", "federated")
    finish(axes, metric, f"test {metric.label}")
    legend(axes, columns=2)
    return figure


def _draw_parent(axes: Axes, record: RunRecord, metric: MetricName) -> None:
    """Draw the run that this one was forked from, from the fork on."""
    parent = record.parent
    if record.fork is None or parent is None:
        return
    rows = [row for row in parent.tested if row.round >= record.fork.round]
    rows = [row for row in rows if metric.name in row.test]
    if rows:
        label = named(f"not forked ({parent.name})", 40)
        values = [row.value(metric.name) for row in rows]
        line(axes, [row.round for row in rows], values, "other", label, ":")


def draw_spread(record: RunRecord, phase: str, metric: MetricName) -> Figure:
    """Draw the spread of a metric over the cohort's clients, round by round.

    Args:
        record: The run.
        phase: "clients" (the global model on their validation parts) or "train" (their reports).
        metric: The metric.
    """
    figure, (axes,) = new_figure()
    rows = [row for row in record.rounds if metric.name in getattr(row, phase)]
    rounds = [row.round for row in rows]
    spreads = [getattr(row, phase)[metric.name] for row in rows]
    mean = np.array([spread.mean for spread in spreads])
    std = np.array([spread.std for spread in spreads])
    lowest = np.array([spread.min for spread in spreads])
    highest = np.array([spread.max for spread in spreads])
    color = LIGHT["federated"]
    axes.fill_between(rounds, lowest, highest, color=color, alpha=0.1, lw=0, label="min–max")
    inner = np.clip(mean - std, lowest, highest), np.clip(mean + std, lowest, highest)
    axes.fill_between(rounds, *inner, color=color, alpha=0.22, lw=0, label="± 1 std")
    worst = [spread.worst_decile for spread in spreads]
    line(axes, rounds, worst, "worst", "worst tenth")
    line(axes, rounds, list(mean), "federated", "mean")
    finish(axes, metric, f"clients' {metric.label}")
    legend(axes, columns=4)
    return figure


def draw_unseen(rows: Sequence[RoundRow], metric: MetricName) -> Figure:
    """Draw the mean over clients that never train, a line for each number of steps."""
    figure, (axes,) = new_figure()
    for place, steps in enumerate(dict.fromkeys(steps for row in rows for steps in row.unseen)):
        found = [row for row in rows if metric.name in row.unseen.get(steps, {})]
        means = [row.unseen[steps][metric.name].mean for row in found]
        role = SERIES[place % len(SERIES)]
        line(axes, [row.round for row in found], means, role, steps_text(steps))
    finish(axes, metric, f"new clients' {metric.label}")
    legend(axes)
    return figure


def draw_histogram(values: Sequence[float], metric: MetricName) -> Figure:
    """Draw a histogram of the clients' values, with the mean and the worst tenth marked."""
    figure, (axes,) = new_figure()
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    found = describe(numbers, metric.higher_is_better)
    axes.hist(
        numbers, bins=_bins(numbers, metric), color=LIGHT["federated"], alpha=0.75, rwidth=0.92
    )
    for key, role, label in (("mean", "ink", "mean"), ("worst_decile", "worst", "worst tenth")):
        text = f"{label} {metric.text(found[key])}"
        axes.axvline(found[key], color=LIGHT[role], lw=1.8, ls="--", label=text)
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    if metric.is_fraction:
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
    axes.set(xlabel=named(f"clients' {metric.label}", 60), ylabel="clients")
    legend(axes)
    return figure


def draw_communication(record: RunRecord, metric: MetricName) -> Figure:
    """Draw the metric against the cumulative megabytes transferred by all clients."""
    figure, (axes,) = new_figure()
    megabytes, values = communication(record, metric)
    line(axes, megabytes, values, "federated", "federated")
    finish(axes, metric, f"test {metric.label}", MEGABYTES)
    return figure


def communication(record: RunRecord, metric: MetricName) -> tuple[list[float], list[float]]:
    """Return the cumulative megabytes and the test metric, at each evaluated round."""
    moved = np.cumsum([row.bytes_down + row.bytes_up for row in record.rounds]) / 1e6
    pairs = [
        (float(sent), row.value(metric.name))
        for sent, row in zip(moved, record.rounds, strict=True)
        if row.test
    ]
    return [sent for sent, _ in pairs], [value for _, value in pairs]


def draw_seconds(record: RunRecord) -> Figure:
    """Draw the seconds of each round by phase."""
    figure, (axes,) = new_figure()
    rounds, seconds = phase_seconds(record)
    if len(rounds) <= BARS_UP_TO:
        base = np.zeros(len(rounds))
        for role, (phase, values) in zip(SERIES, seconds.items(), strict=False):
            axes.bar(rounds, values, bottom=base, width=0.8, color=LIGHT[role], label=phase)
            base += values
    else:
        colors = [LIGHT[role] for role in SERIES[: len(seconds)]]
        axes.stackplot(rounds, *seconds.values(), colors=colors, labels=list(seconds), lw=0)
    axes.grid(axis="x", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set(xlabel="round", ylabel="seconds")
    legend(axes)
    return figure


def phase_seconds(record: RunRecord) -> tuple[list[int], dict[str, FloatArray]]:
    """Return the timed rounds and their seconds by phase; the remainder is "other"."""
    timed = [row for row in record.rounds if row.seconds]
    named = {
        phase: np.array([row.seconds.get(phase, 0.0) for row in timed]) for phase in PHASES[:-1]
    }
    total = np.array([row.seconds.get("total", 0.0) for row in timed])
    # The checkpoint is written after the round's total is measured.
    within = sum(named[phase] for phase in PHASES[:-1] if phase != "checkpoint")
    named["other"] = np.clip(total - within, 0, None)
    return [row.round for row in timed], {p: v for p, v in named.items() if v.sum() > 0}


def draw_confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Figure:
    """Draw a confusion matrix, each row shaded by its share of the true class."""
    counts = np.asarray(matrix, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    classes = len(counts)
    figure, (axes,) = new_figure(size=(4.8, 4.2))
    image = np.empty((classes, classes, 4))
    image[..., :3] = to_rgb(LIGHT["federated"])
    # The square root keeps rare confusions visible next to a strong diagonal.
    image[..., 3] = 0.9 * np.sqrt(shares)
    axes.imshow(image, interpolation="none", aspect="auto")
    axes.grid(visible=False)
    axes.set(xlabel="predicted", ylabel="true")
    if classes <= CLASSES_WITH_NUMBERS:
        _write_numbers(axes, counts, shares)
    if classes <= CLASSES_WITH_NAMES:
        names = [named(label, 14) for label in labels]
        tilt = 45 if max(map(len, names)) > 2 else 0
        axes.set_xticks(range(classes), names, rotation=tilt, ha="right" if tilt else "center")
        axes.set_yticks(range(classes), names)
    return figure


def draw_cross_site(found: CrossSite) -> Figure:
    """Draw clients' models (rows) on clients' parts (columns), the best values darkest."""
    metric = metric_name(found.metric)
    values = np.array([[np.nan if v is None else v for v in row] for row in found.matrix], float)
    shown = values if metric.higher_is_better else -values
    figure, (axes,) = new_figure(size=(4.8, 4.2))
    low, high = np.nanmin(shown), np.nanmax(shown)
    shares = np.nan_to_num((shown - low) / max(high - low, 1e-12))
    image = np.empty((*values.shape, 4))
    image[..., :3] = to_rgb(LIGHT["federated"])
    image[..., 3] = 0.9 * shares
    axes.imshow(image, interpolation="none", aspect="auto")
    axes.grid(visible=False)
    axes.set(xlabel=f"{metric.label} on the part of client", ylabel="model of client")
    if len(found.clients) <= CLASSES_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            color = LIGHT["on_federated" if shares[row, column] > 0.6 else "ink"]
            text = "–" if np.isnan(value) else metric.text(value).replace(f"{NBSP}%", "")
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    if len(found.clients) <= CLASSES_WITH_NAMES:
        names = [str(client) for client in found.clients]
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
    return figure


def _write_numbers(axes: Axes, counts: FloatArray, shares: FloatArray) -> None:
    for row, column in np.argwhere(counts > 0):
        strong = shares[row, column] > 0.4
        axes.text(
            column,
            row,
            f"{counts[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color=LIGHT["on_federated" if strong else "ink"],
        )


def _draw_local(axes: Axes, local: LocalSpread) -> None:
    color = LIGHT["local"]
    axes.axhspan(local.low, local.high, color=color, alpha=0.12, lw=0)
    axes.axhline(local.mean, color=color, ls="--", label="each alone")


def line(
    axes: Axes, x: Sequence[float], y: Sequence[float], role: str, label: str, style: str = "-"
) -> None:
    """Draw a line in the colour of ``role``, with markers if it has few points."""
    marker = "o" if len(x) <= MARKED_UP_TO else None
    axes.plot(x, y, style, color=LIGHT[role], label=label, marker=marker, markersize=3.5)


def finish(axes: Axes, metric: MetricName, label: str, across: str = "round") -> None:
    """Label the axes: the metric and its unit on the vertical one, ``across`` on the other."""
    axes.xaxis.set_major_locator(
        MaxNLocator(8 if across == "round" else 6, integer=across == "round")
    )
    if metric.is_fraction:
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    axes.set(xlabel=across, ylabel=named(label, 40))


def _bins(numbers: FloatArray, metric: MetricName) -> list[float]:
    low, high = float(numbers.min()), float(numbers.max())
    if metric.is_fraction:
        low, high = np.floor(20 * low) / 20, np.ceil(20 * high) / 20
    if low == high:
        low, high = low - 0.05, high + 0.05
    edges = np.linspace(low, high, int(np.clip(round(2 * np.sqrt(len(numbers))), 6, 30)) + 1)
    return [float(edge) for edge in edges]


def _percent(value: float, _: int) -> str:
    return f"{100 * value:.4g}{NBSP}%"
