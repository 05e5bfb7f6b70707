"""The style of plots: one palette for paper and screen, light and dark.

Figures are drawn with the light palette. In an SVG inside the report each of its colours becomes a
CSS variable, so that the page's colour scheme applies to the plots as well.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from fedlab.errors import FedlabError, one_line
from fedlab.files import write_whole

# Role: (light, dark). The hues are distinguishable for colour-blind readers; baselines are dashed
# as well.
PALETTE = {
    "ink": ("#1f2430", "#e8eaf0"),
    "muted": ("#646b7a", "#9aa2b4"),
    "grid": ("#dfe3ea", "#323848"),
    "surface": ("#fefefe", "#1b1f2a"),
    "on_federated": ("#fdfdff", "#fdfdff"),
    "federated": ("#2560d8", "#7aa7ff"),
    "centralised": ("#0b8462", "#4cc9a0"),
    "local": ("#b8620e", "#f0a355"),
    "random": ("#7d4fb5", "#bd9bf2"),
    "source-only": ("#8a5a00", "#d9a441"),
    "target-supervised": ("#00707a", "#4fc3cf"),
    "worst": ("#c23a4b", "#ff8591"),
    "other": ("#8b93a3", "#707a8e"),
}
LIGHT = {role: pair[0] for role, pair in PALETTE.items()}
SERIES = ("federated", "local", "centralised", "random", "worst", "other")
SIZE = (4.8, 3.1)
PARAMETERS: Any = {
    "svg.fonttype": "none",
    # Names of classes, clients and runs are text: "$5-$10" is a class of prices.
    "text.parse_math": False,
    "text.usetex": False,
    "font.size": 9.5,
    "font.family": "sans-serif",
    "text.color": LIGHT["ink"],
    "axes.edgecolor": LIGHT["grid"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "legend.columnspacing": 1.2,
}

OTHER_SCRIPTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans", "WenQuanYi Zen Hei", "Unifont"),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Noto Sans Arabic"),
)
"""Fonts that are asked, in this order, for letters that matplotlib's own font does not have."""
FORMATS = ("png", "pdf", "svg")
"""Of a picture that is written on its own."""
FAST_COMPRESSION = 3
"""The zlib level: a third of the default level's time, files a few per cent larger."""


def new_figure(panels: int = 1, size: tuple[float, float] = SIZE) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``panels`` axes side by side; ``size`` is in inches."""
    with mpl.rc_context(PARAMETERS):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
    return figure, list(axes)


def legend(axes: Axes, columns: int = 3) -> None:
    """Place the legend above the plot; the line drawn on top comes first."""
    with mpl.rc_context(PARAMETERS):
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=columns,
            borderpad=0.2,
            reverse=True,
        )


def shared_legend(figure: Figure, axes: Axes) -> None:
    """Place one legend, of the lines of ``axes``, below all panels of a figure."""
    with mpl.rc_context(PARAMETERS):
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def png_bytes(figure: Figure, dots_per_inch: int = 200) -> bytes:
    """Return the figure as a PNG on the light surface."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    with mpl.rc_context(PARAMETERS), _without_missing_letters():
        _lay_out(figure)
        figure.savefig(
            buffer,
            format="png",
            dpi=dots_per_inch,
            facecolor=LIGHT["surface"],
            pil_kwargs={"compress_level": FAST_COMPRESSION},
        )
    return buffer.getvalue()


@contextmanager
def _without_missing_letters() -> Iterator[None]:
    """Use fonts that have the letters, where there are such, and be silent where there are none."""
    with warnings.catch_warnings(), mpl.rc_context({"font.sans-serif": _fonts()}):
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from")
        warnings.filterwarnings("ignore", message=r"(?s)Matplotlib currently does not support")
        yield


@cache
def _fonts() -> list[str]:
    """Return matplotlib's own font, and installed ones with the letters of other scripts."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(font for font in OTHER_SCRIPTS if font in known)]


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure in the format that the file's suffix says, atomically.

    Raises:
        FedlabError: If it is none of `FORMATS`, or cannot be written.
    """
    check_format(path)
    form = path.suffix[1:].lower()
    write_whole(path, png_bytes(figure) if form == "png" else _vector_bytes(figure, form))


def check_format(path: Path, key: str = "--output") -> None:
    """Check that a figure can be written to a file of this name.

    Raises:
        FedlabError: If its suffix is none of `FORMATS`.
    """
    if path.suffix[1:].lower() not in FORMATS:
        has = f"ends in '{path.suffix}'" if path.suffix else "has no suffix"
        known = ", ".join(f".{form}" for form in FORMATS)
        raise FedlabError(f"{key}: the name of the picture {path} {has}; it may be {known}")


def _vector_bytes(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    # Text stays text in a PDF, and the same figure has the same bytes.
    settings = {**PARAMETERS, "pdf.fonttype": 42, "svg.hashsalt": "fedlab"}
    dated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with mpl.rc_context(settings), _without_missing_letters():
        _lay_out(figure)
        figure.savefig(buffer, format=form, facecolor=LIGHT["surface"], metadata=dated[form])
    return buffer.getvalue()


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG, atomically, whatever the file's name ends in.

    Raises:
        FedlabError: If it cannot be written.
    """
    write_whole(path, png_bytes(figure))


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """Return the figure as an SVG element for an HTML page.

    Its colours are the CSS variables ``--plot-<role>``, its identifiers begin with ``name`` (a page
    contains many figures), and ``alt`` is the text for screen readers.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**PARAMETERS, "svg.hashsalt": name}), _without_missing_letters():
        _lay_out(figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Only tags: what stands between them is text, of whatever content.
    svg = re.sub(r"<[^<>]*>", lambda tag: _adapted(tag[0], name), svg)
    opening = f'<svg role="img" aria-label="{_escaped(alt)}" '
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head).replace("<svg ", opening, 1)
    return f"{head}>{body}"


def _adapted(tag: str, name: str) -> str:
    """Return a tag of an SVG with identifiers of its own, and the page's colours."""
    tag = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", tag)
    for role, (light, _) in PALETTE.items():
        tag = tag.replace(light, f"var(--plot-{role})")
    return tag


def _lay_out(figure: Figure) -> None:
    """Compute the layout of a figure once: saving would do so twice for each format."""
    engine = figure.get_layout_engine()
    if engine is not None:
        _take_text_literally(figure)
        engine.execute(figure)
        figure.set_layout_engine(None)


def _take_text_literally(figure: Figure) -> None:
    """Let no text of a figure be markup, also what was written outside of our style."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_usetex(False)


def named(name: str, limit: int) -> str:
    """Return a user's name as a plot shows it: one line, shortened, with an ellipsis at the end.

    Letters of eastern Asia are twice as wide as others.
    """
    line = one_line(name)
    widths = [2 if east_asian_width(letter) in "WF" else 1 for letter in line]
    if sum(widths) <= limit:
        return line
    kept, width = "", 0
    for letter, wide in zip(line, widths, strict=True):
        if width + wide > limit - 1:
            break
        kept, width = kept + letter, width + wide
    return f"{kept.rstrip()}…"


def palette_css(dark: bool) -> str:
    """Return the palette as CSS declarations."""
    column = 1 if dark else 0
    return " ".join(f"--plot-{role}: {pair[column]};" for role, pair in PALETTE.items())


def _escaped(text: str) -> str:
    for character, entity in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return text
