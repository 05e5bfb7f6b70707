"""What a notebook shows: a run under way, a run, and its figures."""

from __future__ import annotations

import html
import logging
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fedlab.engine.reports import Report
from fedlab.run.callbacks import RoundOutcome, RunView
from fedlab.run.display import (
    PlainLines,
    baseline_line,
    introduction,
    phase_line,
    round_line,
)
from fedlab.run.folder import RunFolder
from fedlab.scenario import Scenario
from fedlab.terminal import PlainConsole

if TYPE_CHECKING:
    from fedlab.results.reading import RunRecord

SECONDS_BETWEEN_UPDATES = 0.25
ROUNDS_SHOWN = 5
_CARD = (
    "background: var(--plot-surface); color: var(--plot-ink); border: 1px solid var(--plot-grid); "
    "border-radius: 6px; padding: 10px 14px; max-width: 860px; font-family: sans-serif; "
    "font-size: 13px; line-height: 1.45"
)
_MUTED = "color: var(--plot-muted)"


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    return getattr(_shell(), "kernel", None) is not None


def _shell() -> Any:
    """Return IPython's shell, or None where this process has none."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def without_hints_at_widgets() -> None:
    """Let no library hint at widgets in a notebook, which fedlab shows nothing with."""
    if in_notebook():
        warnings.filterwarnings("ignore", message="IProgress not found")
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)


def show_figures() -> None:
    """Let a notebook show matplotlib's figures as pictures, unless it does already."""
    shell = _shell()
    if not in_notebook():
        return
    from IPython.core.pylabtools import select_figure_formats
    from matplotlib.figure import Figure

    formatters = shell.display_formatter.formatters
    if not any(Figure in formatters[f"image/{form}"].type_printers for form in ("png", "svg+xml")):
        select: Callable[..., None] = select_figure_formats
        select(shell, {"png"})


class Shown:
    """What a cell shows: HTML, and a line of text where that is all there is room for."""

    def __init__(self, page: str, text: str) -> None:
        self._page = page
        self._text = text

    def _repr_html_(self) -> str:
        return self._page

    def __repr__(self) -> str:
        return self._text


class NotebookDisplay(PlainLines):
    """Bars for rounds and cohort, and the figures of the last round, in the output of a cell."""

    def __init__(self, folder: RunFolder, console: PlainConsole) -> None:
        super().__init__(folder, console)
        self._folder_shown = folder
        self._handle: Any = None
        self._lines: list[str] = []
        self._now = "getting ready"
        self._beside = ""
        self._rounds = (0, 1)
        self._cohort = (0, 0)
        self._drawn = 0.0
        self._draw()

    def say(self, text: str) -> None:
        """Add a line that stays."""
        self._lines.append(text)
        self._draw()

    def started(self, run: RunView) -> None:
        """Show what runs."""
        self._rounds = (run.round, run.scenario.rounds)
        self._now = "the first weights are evaluated" if not run.round else ""
        self.say(introduction(self._folder_shown, run))

    def phase_started(self, run: RunView, phase: Scenario) -> None:
        """Show what the phase trains."""
        self.say(phase_line(run, phase))

    def round_started(self, server_round: int, phase: str, clients: int) -> None:
        """Begin the cohort's bar."""
        self._cohort = (0, clients)
        self._draw(soon=True)

    def progressed(self, reports: Sequence[Report]) -> None:
        """Move the cohort's bar."""
        done, clients = self._cohort
        self._cohort = (done + len(reports), clients)
        self._draw(soon=True)

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Move the rounds' bar and show the round's figures."""
        self._rounds = (outcome.round, run.scenario.rounds)
        self._cohort = (0, 0)
        self._now = round_line(outcome.record, run.scenario.rounds)
        self._draw()

    def ended(self, run: RunView) -> None:
        """Remove the cohort's bar."""
        self._cohort = (0, 0)
        self._draw()

    def baseline(self, name: str, line: dict[str, Any]) -> None:
        """Show a baseline's figures in place of those before."""
        self._beside = baseline_line(name, line)
        self._draw(soon=True)

    def closed(self) -> None:
        """Show all that has come."""
        self._draw()

    def _draw(self, soon: bool = False) -> None:
        """Show the present state; ``soon``: unless it has just been shown."""
        from IPython import display

        now = time.monotonic()
        if soon and now - self._drawn < SECONDS_BETWEEN_UPDATES:
            return
        self._drawn = now
        shown = Shown(self._page(), self._now)
        if self._handle is None:
            show: Callable[..., Any] = display.display
            self._handle = show(shown, display_id=True)
        else:
            self._handle.update(shown)

    def _page(self) -> str:
        lines = "".join(f"<div style='{_MUTED}'>{_text(line)}</div>" for line in self._lines)
        done, rounds = self._rounds
        bars = _bar(f"round {done} of {rounds}", done, rounds)
        if self._cohort[1]:
            bars += _bar(f"client {self._cohort[0]} of {self._cohort[1]}", *self._cohort)
        beside = f"<div style='{_MUTED}'>{_text(self._beside)}</div>" if self._beside else ""
        return _card(f"{lines}{bars}<div>{_text(self._now)}</div>{beside}")


def run_html(record: RunRecord) -> str:
    """Return a run as HTML: its headline figures, its curves and its last rounds."""
    from fedlab.metrics.names import metric_name
    from fedlab.results.drawing.plots import draw_curves
    from fedlab.results.drawing.style import inline_svg
    from fedlab.results.headings import subtitle, tiles

    parts = [
        f"<div style='font-size: 15px; font-weight: 600'>{_text(record.title)}</div>",
        f"<div style='{_MUTED}'>{_text(record.status)} · {_text(subtitle(record))}</div>",
    ]
    cells = "".join(
        f"<td style='text-align: left; padding: 4px 18px 4px 0; background: none'>"
        f"<div style='{_MUTED}'>{_text(tile.label)}</div>"
        f"<div style='font-size: 16px'>{_text(tile.value)}</div>"
        f"<div style='{_MUTED}'>{_text(tile.note)}</div></td>"
        for tile in tiles(record)
    )
    parts.append(f"<table style='border: none; margin: 6px 0'><tr>{cells}</tr></table>")
    if record.metric is not None:
        mark, shown = uuid.uuid4().hex[:8], dict.fromkeys((record.metric.name, "loss"))
        names = [name for name in shown if any(name in row.test for row in record.tested)]
        curves = "".join(
            "<div style='flex: 1 1 300px; max-width: 420px'>"
            + inline_svg(
                draw_curves(record, metric_name(name)),
                f"run-{mark}-{number}",
                f"test {metric_name(name).label} over rounds",
            )
            + "</div>"
            for number, name in enumerate(names)
        )
        parts.append(f"<div style='display: flex; flex-wrap: wrap; gap: 12px'>{curves}</div>")
    parts.append(_last_rounds(record))
    parts.append(f"<div style='{_MUTED}'>{_text(str(record.path))}</div>")
    return _card("".join(parts))


def _last_rounds(record: RunRecord) -> str:
    """Return the test metrics of the last rounds as a table."""
    from fedlab.metrics.names import metric_name

    rows = record.tested[-ROUNDS_SHOWN:]
    names = list(dict.fromkeys(name for row in rows for name in row.test))
    if not rows:
        return ""
    head = "".join(f"<th>{_text(metric_name(name).label)}</th>" for name in names)
    body = "".join(
        f"<tr><td>{row.round}</td>"
        + "".join(f"<td>{_text(metric_name(name).text(row.value(name)))}</td>" for name in names)
        + "</tr>"
        for row in rows
    )
    return f"<table><tr><th>round</th>{head}</tr>{body}</table>"


def _bar(label: str, done: int, total: int) -> str:
    """Return a bar that is filled as far as something is done."""
    share = 100 * min(done / total, 1.0) if total else 0.0
    return (
        "<div style='display: flex; align-items: center; gap: 10px; margin: 3px 0'>"
        "<div style='flex: 0 0 320px; height: 8px; background: var(--plot-grid); "
        "border-radius: 4px'>"
        f"<div style='width: {share:.1f}%; height: 8px; background: var(--plot-federated); "
        f"border-radius: 4px'></div></div><div>{_text(label)}</div></div>"
    )


def _card(inside: str) -> str:
    from fedlab.results.drawing.style import palette_css

    return f"<div style='{palette_css(dark=False)} {_CARD}'>{inside}</div>"


def _text(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")
