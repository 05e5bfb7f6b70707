"""The plot of a partition: which client holds which examples."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedlab.results.drawing.style import LIGHT, PARAMETERS, named
from fedlab.results.rows import PartitionFile

BARS_UP_TO = 60
NAMES_UP_TO = 40
NUMBERS_UP_TO = (12, 20)

_Array = npt.NDArray[Any]


def draw_partition(found: PartitionFile) -> Figure:
    """Draw each client's size above its shares of the classes.

    More than 60 clients are sorted: by their most frequent class, then by size; without classes by
    size alone.

    Args:
        found: The content of ``partition.json``; without ``counts`` only sizes are drawn.
    """
    sizes = np.asarray(found.sizes)
    counts = None if found.counts is None else np.asarray(found.counts)
    many = len(sizes) > BARS_UP_TO
    order = _order(sizes, counts) if many else np.arange(len(sizes))
    with mpl.rc_context(PARAMETERS):
        figure = Figure(figsize=(7.2, 2.6 if counts is None else 4.6), layout="constrained")
        panels = figure.subplots(
            1 if counts is None else 2,
            1,
            sharex=True,
            squeeze=False,
            height_ratios=[1] if counts is None else [1, 2],
        )[:, 0]
        _draw_sizes(panels[0], sizes[order], many)
        if counts is not None:
            _draw_classes(panels[1], counts[order], found.labels)
        _name_clients(panels[-1], found.names, order, counts is not None)
    return figure


def _order(sizes: _Array, counts: _Array | None) -> _Array:
    if counts is None:
        return np.argsort(-sizes, kind="stable")
    return np.lexsort((-sizes, counts.argmax(axis=1)))


def _draw_sizes(axes: Axes, sizes: _Array, many: bool) -> None:
    places = np.arange(len(sizes))
    if many:
        axes.fill_between(places, sizes, step="mid", color=LIGHT["federated"], alpha=0.75, lw=0)
    else:
        axes.bar(places, sizes, width=0.8, color=LIGHT["federated"], alpha=0.75)
    axes.axhline(sizes.mean(), color=LIGHT["muted"], ls=":", lw=1)
    axes.set(ylabel="examples", ylim=(0, None), xlim=(-0.5, len(sizes) - 0.5))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(visible=False, axis="x")


def _draw_classes(axes: Axes, counts: _Array, labels: list[str]) -> None:
    """Shade each client's share of each class, the first class at the top."""
    shares = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).T
    image = np.empty((*shares.shape, 4))
    image[..., :3] = to_rgb(LIGHT["federated"])
    # The square root keeps small shares visible next to a client's main class.
    image[..., 3] = 0.95 * np.sqrt(shares)
    axes.imshow(image, interpolation="none", aspect="auto")
    axes.grid(visible=False)
    axes.set_ylabel("class")
    classes, clients = shares.shape
    if labels and classes <= NAMES_UP_TO:
        short = [named(label, 14) for label in labels]
        axes.set_yticks(range(classes), short, fontsize=9 if classes <= 20 else 6)
    if classes <= NUMBERS_UP_TO[0] and clients <= NUMBERS_UP_TO[1]:
        _write_counts(axes, counts.T, shares)


def _write_counts(axes: Axes, counts: _Array, shares: _Array) -> None:
    for row, column in np.argwhere(counts > 0):
        color = LIGHT["on_federated" if shares[row, column] > 0.35 else "ink"]
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=color)


def _name_clients(axes: Axes, names: list[str], order: _Array, has_classes: bool) -> None:
    clients = len(order)
    if clients > BARS_UP_TO:
        by = "the class they hold most of, then by size" if has_classes else "size"
        axes.set_xlabel(f"{clients:,} clients, sorted by {by}")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        return
    axes.set_xlabel("client")
    if names and clients <= NAMES_UP_TO:
        short = [named(name, 24) for name in names]
        axes.set_xticks(range(clients), short, rotation=60, ha="right", fontsize=7.5)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(20, integer=True))
