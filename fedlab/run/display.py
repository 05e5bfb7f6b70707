"""What a person, or a machine, sees of a run in progress."""

from __future__ import annotations

import os
import pdb
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fedlab.engine.devices import may_be_accelerated
from fedlab.engine.reports import Report
from fedlab.errors import one_line
from fedlab.metrics.names import BEFORE, GLOBAL, MetricName, headline, metric_name
from fedlab.run.callbacks import Callback, Fold, RoundOutcome, RunView
from fedlab.run.folder import RunFolder, strict_json
from fedlab.scenario import Scenario
from fedlab.terminal import PlainConsole

WORST_SHOWN = 3


class PlainLines(Callback):
    """One line a round, where there is no terminal."""

    def __init__(self, folder: RunFolder, console: PlainConsole) -> None:
        self._folder = folder
        self._console = console

    def noted(self, notes: Sequence[str]) -> None:
        """Print what the user should know."""
        for note in notes:
            self.say(f"note: {note}")

    def started(self, run: RunView) -> None:
        """Print what runs."""
        self.say(introduction(self._folder, run))

    def phase_started(self, run: RunView, phase: Scenario) -> None:
        """Print what the phase trains."""
        self.say(phase_line(run, phase))

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Print the round's figures."""
        self.say(round_line(outcome.record, run.scenario.rounds))

    def say(self, text: str) -> None:
        """Print a line as it is; words wrap on a terminal."""
        self._console.say(text)

    def baseline(self, name: str, line: dict[str, Any]) -> None:
        """Print a baseline's line."""
        self.say(baseline_line(name, line))


class FoldLines(Callback):
    """One line a fold of a cross-validation."""

    def __init__(self, console: PlainConsole) -> None:
        self._console = console

    def noted(self, notes: Sequence[str]) -> None:
        """Print what the user should know."""
        for note in notes:
            self._console.say(f"note: {note}")

    def fold_ended(self, fold: Fold, folds: int) -> None:
        """Print a fold's outcome."""
        metric = metric_name(fold.metric)
        if fold.left_out:
            self._console.say(
                f"domain {fold.fold}/{folds}, '{fold.left_out}' left out: {metric.label} after "
                f"{fold.rounds} rounds {metric.text(fold.best)}"
            )
            return
        self._console.say(
            f"fold {fold.fold}/{folds}: best of {fold.rounds} rounds is {fold.best_round}, "
            f"{metric.label} {metric.text(fold.best)}"
        )


class JsonLines(Callback):
    """The lines of ``metrics.jsonl`` as they come, for machines; notes go to standard error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def noted(self, notes: Sequence[str]) -> None:
        """Print what the user should know beside the stream."""
        for note in notes:
            print(f"note: {note}", file=sys.stderr)

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Write the round's line."""
        self._write(outcome.record)

    def baseline(self, name: str, line: dict[str, Any]) -> None:
        """Write a baseline's line."""
        self._write(line)

    def fold_ended(self, fold: Fold, folds: int) -> None:
        """Write a fold's outcome."""
        self._write(asdict(fold))

    def _write(self, line: dict[str, Any]) -> None:
        self._stream.write(strict_json(line) + "\n")
        self._stream.flush()


class LiveDisplay(PlainLines):
    """A live display: round, cohort, time left, test metric, worst clients, data moved."""

    def __init__(self, folder: RunFolder, console: PlainConsole) -> None:
        super().__init__(folder, console)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._worst: list[Report] = []
        self._moved = 0
        self._record: dict[str, Any] = {}
        self._began = time.monotonic()
        self._breakpoint = sys.breakpointhook

    def started(self, run: RunView) -> None:
        """Show the bars."""
        super().started(run)
        total = run.scenario.rounds
        self._rounds_bar = self._bars.add_task("Rounds", total=total, completed=run.round)
        self._cohort_bar = self._bars.add_task("Cohort", total=None)
        self._live.start()
        self._draw()
        self._breakpoint, sys.breakpointhook = sys.breakpointhook, self._stop_at_breakpoint

    def _stop_at_breakpoint(self, *arguments: Any, **options: Any) -> Any:
        """Leave the terminal to the debugger, which begins where ``breakpoint()`` was called."""
        self._live.stop()
        if os.environ.get("PYTHONBREAKPOINT") or self._breakpoint is not sys.__breakpointhook__:
            return self._breakpoint(*arguments, **options)
        return pdb.Pdb().set_trace(sys._getframe().f_back)

    def round_started(self, server_round: int, phase: str, clients: int) -> None:
        """Begin the cohort's bar."""
        self._bars.reset(self._cohort_bar, total=clients, description=f"Cohort ({phase})")

    def progressed(self, reports: Sequence[Report]) -> None:
        """Move the cohort's bar and keep the worst clients."""
        self._bars.advance(self._cohort_bar, len(reports))
        known = [r for r in (*self._worst, *reports) if "train_loss" in r.metrics]
        known.sort(key=lambda report: -report.metrics["train_loss"])
        self._worst = known[:WORST_SHOWN]
        self._draw()

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Move the rounds' bar and show the round's numbers."""
        super().round_ended(run, outcome)
        record = outcome.record
        self._moved += record.get("bytes_down", 0) + record.get("bytes_up", 0)
        self._record = record if "test" in record else self._record
        self._bars.update(self._rounds_bar, completed=outcome.round)
        self._draw()
        self._worst = []

    def ended(self, run: RunView) -> None:
        """Remove the bars; the lines stay."""
        self._live.stop()
        sys.breakpointhook = self._breakpoint

    def _draw(self) -> None:
        table = Table.grid(padding=(0, 2))
        for name, value in (self._record.get("test") or {}).items():
            table.add_row(metric_name(name).label, metric_name(name).text(value))
        table.add_row("data moved", f"{self._moved / 1e6:.1f} MB")
        worst = ", ".join(f"{r.client} ({r.metrics['train_loss']:.3f})" for r in self._worst)
        table.add_row("highest losses", worst or "-")
        self._live.update(Group(self._bars, table))


def display_for(folder: RunFolder, console: PlainConsole) -> PlainLines:
    """Return the display that suits a console: live on a terminal, else plain lines."""
    return (LiveDisplay if console.is_terminal else PlainLines)(folder, console)


def introduction(folder: RunFolder, run: RunView) -> str:
    """Return the lines that describe what runs."""
    scenario = run.scenario
    engine, model = run.engine, scenario.model
    others: Any = model.others
    names = (f"pretrained {m.name}" if m.pretrained else m.name for m in (model, *others))
    models = " and ".join(dict.fromkeys(names))
    used = engine.device_models() if may_be_accelerated(scenario.engine.device) else ""
    begin = f"resuming after round {run.round}" if run.round else "starting"
    return (
        f"{one_line(scenario.title) or folder.path.name}\n"
        f"{models} on {scenario.data.name}, {len(engine.federation)} clients "
        f"({scenario.data.partition.name}), {scenario.strategy.name} + {scenario.client.name}, "
        f"engine {engine.describe()}"
        f"{f' on {used}' if used else ''}; {begin}"
    )


def phase_line(run: RunView, phase: Scenario) -> str:
    """Return a phase's name, rounds, and what it trains, as a line of text."""
    span, trained, optimizer = phase.phase, phase.model.trainable, phase.client.optimizer
    assert span is not None
    last = f" to {phase.rounds}" if phase.rounds > span.first else ""
    what = trained if isinstance(trained, str) else f"{len(trained)} patterns"
    # Where all is trained, what is kept is inputs that a model transforms without parameters.
    features = run.engine.features.used and trained != "all"
    cached = ", on cached features" if features else ""
    return (
        f"phase '{one_line(span.name)}', round{'s' if last else ''} {span.first}{last}: "
        f"trains {what}{cached}, {optimizer.name} at {optimizer.lr:g}"
    )


def headline_value(metrics: dict[str, float]) -> tuple[MetricName, float] | None:
    """Return the metric that a task is judged by and its value, or None without metrics."""
    metric = headline(metrics)
    return None if metric is None else (metric, metrics[metric.name])


def round_line(record: dict[str, Any], total: int) -> str:
    """Return one round as a line of text."""
    parts = [f"round {record['round']:>{len(str(total))}}/{total}"]
    tested = headline_value(record.get("test", {}))
    if tested:
        metric, value = tested
        parts.append(f"test {metric.label} {metric.text(value)}")
        parts.append(f"loss {record['test']['loss']:.4f}")
    reached = headline_value({n: s["mean"] for n, s in record.get("clients", {}).items()})
    if reached:
        metric, value = reached
        worst = record["clients"][metric.name]["worst_decile"]
        general = record["clients"].get(GLOBAL + metric.name)
        before = record["clients"].get(BEFORE + metric.name)
        who = "personalised" if general or before else "clients"
        parts.append(f"{who} {metric.text(value)}, worst tenth {metric.text(worst)}")
        if general is not None:
            parts.append(f"global model {metric.text(general['mean'])}")
        if before is not None:
            parts.append(f"before collaboration {metric.text(before['mean'])}")
    parts += unseen_parts(record)
    if "seconds" in record:
        moved = (record["bytes_down"] + record["bytes_up"]) / 1e6
        parts.append(f"{record['replies']} clients")
        if record.get("dropped"):
            parts.append(f"{record['dropped']} dropped")
        parts.append(f"{moved:.1f} MB")
        parts.append(f"{record['seconds']['total']:.1f} s")
    if record.get("failures"):
        parts.append(f"{record['failures']} failed")
    return "   ".join(parts)


def unseen_parts(record: dict[str, Any]) -> Iterator[str]:
    """Yield what a round's model reaches on clients that never train, where there are any."""
    means = {
        steps: {name: spread["mean"] for name, spread in found.items()}
        for steps, found in record.get("unseen", {}).items()
    }
    judged = headline_value(next(iter(means.values()), {}))
    if judged:
        metric, _ = judged
        values = [metric.text(found[metric.name]) for found in means.values()]
        yield f"new clients {' / '.join(values)} after {'/'.join(means)} steps"


def baseline_line(name: str, line: dict[str, Any]) -> str:
    """Return one line of a baseline as text."""
    tested = headline_value(line["test"])
    where = f"round {line['round']}" if "round" in line else f"client {line['client']}"
    text = f"test {tested[0].label} {tested[0].text(tested[1])}" if tested else "no metric"
    own = headline_value(line.get("own", {}))
    text += f", on its own part {own[0].text(own[1])}" if own else ""
    return f"baseline {name}, {where}: {text}"
