"""Accuracy against megabytes, a line for each codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks.compression.codecs import Codec
from fedlab.results.drawing.style import LIGHT, PARAMETERS, save_png

Runs = Sequence[tuple[Codec, Mapping[str, Any]]]
COLOURS = (
    *("#1f2430", "#8b93a3", "#b9bfca", "#2560d8", "#0b8462", "#7d4fb5", "#c23a4b", "#b8620e"),
    *("#12a5b8", "#d64fa0", "#6a8f1f", "#e0a100", "#5b4636", "#3f7fbf", "#9c2f6f", "#4d9b6b"),
    "#ff8f5a",
)


def draw(runs: Runs, path: Path) -> None:
    """Write the picture: on the left lines over the bytes sent up, on the right where they end."""
    names = list(dict.fromkeys(codec.name for codec, _ in runs))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    with mpl.rc_context(PARAMETERS):
        figure = Figure(figsize=(10.5, 4.6), layout="constrained")
        curves, ends = figure.subplots(1, 2, sharey=True)
        for codec, run in runs:
            style = "--" if codec.feedback is False else "-"
            up = [value / 1e6 for value in run["up"]]
            colour = colours[codec.name]
            label = codec.name if style == "-" or codec.name not in _fed_back(runs) else None
            curves.plot(up[1:], run["accuracy"][1:], style, color=colour, lw=1.3, label=label)
            filled = colour if style == "-" else LIGHT["surface"]
            total = up[-1] + run["down"][-1] / 1e6
            ends.plot(total, run["accuracy"][-1], "o", color=colour, mfc=filled, ms=6)
        curves.set_xscale("log")
        # Powers are typeset as mathematics, which the style switches off.
        curves.xaxis.set_major_formatter("{x:g}")
        curves.xaxis.set_minor_formatter(NullFormatter())
        ends.set_xlim(left=0)
        curves.set_xlabel("MB sent up so far, all clients")
        ends.set_xlabel("MB up and down after the last round")
        curves.set_ylabel("test accuracy")
        curves.set_title("dashed: no error feedback")
        ends.set_title("hollow: no error feedback")
        figure.legend(loc="outside right center", fontsize=8)
    save_png(figure, path)


def _fed_back(runs: Runs) -> set[str]:
    return {codec.name for codec, _ in runs if codec.feedback is not False}
