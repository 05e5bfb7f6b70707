"""A table's metric over rounds: a panel for each group of rows and each column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.published.page import best_of
from benchmarks.published.table import Table
from fedlab.metrics.names import metric_name
from fedlab.results.drawing.style import LIGHT, PARAMETERS, SERIES, save_png

PANEL = (2.6, 1.9)


def draw(table: Table, results: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the curves, each the mean over seeds, as a PNG."""
    groups = list(dict.fromkeys(row.group for row in table.rows))
    names = list(dict.fromkeys(row.name for row in table.rows))
    shape = (len(groups), len(table.columns))
    with mpl.rc_context(PARAMETERS):
        size = (PANEL[0] * shape[1], PANEL[1] * shape[0] + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(*shape, squeeze=False, sharex=True, sharey="col")
        for line, group in enumerate(groups):
            for place, column in enumerate(table.columns):
                axes = grid[line][place]
                for row in (row for row in table.rows if row.group == group):
                    where = (row.group, row.name, column.name)
                    own = [r for r in results if (r["group"], r["row"], r["column"]) == where]
                    _draw_mean(axes, best_of(table, row, own), row.name, names.index(row.name))
                if line == 0:
                    axes.set_title(column.name)
                if place == 0:
                    axes.set_ylabel(f"{group}\n{_label(table)}".strip())
                if line == len(groups) - 1:
                    axes.set_xlabel("round")
        lines = {
            line.get_label(): line for axes in grid.flat for line in axes.get_lines()
        }  # Each name appears once, however many panels show it.
        figure.legend(
            [lines[name] for name in names if name in lines],
            [name for name in names if name in lines],
            loc="outside lower center",
            ncols=len(names),
        )
    save_png(figure, path)


def _label(table: Table) -> str:
    where = "training" if table.figure.of == "train" else table.figure.of
    return f"{where} {metric_name(table.curves).label}"


def _draw_mean(axes: Any, runs: Sequence[dict[str, Any]], name: str, number: int) -> None:
    curves = [run["curve"] for run in runs if run.get("curve")]
    if not curves:
        return
    length = min(len(curve) for curve in curves)
    rounds = [point[0] for point in curves[0][:length]]
    values = np.mean([[point[1] for point in curve[:length]] for curve in curves], axis=0)
    axes.plot(rounds, values, color=LIGHT[SERIES[number % len(SERIES)]], label=name, lw=1.4)
