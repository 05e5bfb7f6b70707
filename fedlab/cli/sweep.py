"""``fedlab sweep``: one scenario under many settings, each with several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.cli.completion import scenarios
from fedlab.cli.options import Set
from fedlab.errors import FedlabError

if TYPE_CHECKING:
    from fedlab.use.sweep.jobs import Outcome
    from fedlab.use.sweep.members import Member
    from fedlab.use.sweep.running import SweepRun

MOST_NAMED = 5
"""Failed runs, in one message."""


def sweep(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP",
            help="a sweep's TOML file, or a scenario that options make a sweep of",
            autocompletion=scenarios,
        ),
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,VALUE",
            help="values of a key: client.optimizer.lr=0.01,0.1; may be given several times, and "
            "all combinations are run",
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=LOW:HIGH[:log]",
            help="draw a key's values in place of a grid: client.optimizer.lr=0.001:1:log, or "
            "strategy.name=fedavg|fedadam; may be given several times",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="of a search: settings to draw; default: 20")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="of a search: 'tpe', 'gp', 'cmaes' or 'qmc' (Optuna's), or 'random'; default: tpe"
        ),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(
            help="of a search: 'median' or 'hyperband' end runs early that are behind; or 'none', "
            "the default"
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="seeds of each setting, from the scenario's own on")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="rounds, in place of the scenario's")] = None,
    overrides: Set = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="runs at a time; default: one a core, each in one process, or one after the other "
            "where they use a cluster, a device or fewer runs than cores",
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            help="count rounds, bytes and seconds to this value of the test metric, such as 0.9; "
            "default: 95 % of the best setting's last"
        ),
    ] = None,
    against: Annotated[
        str, typer.Option(help="the setting that others are compared with; default: the first")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="folder for the runs, tables and plot, which is gone on with where it is there; "
            "default: runs/NAME-sweep",
        ),
    ] = None,
) -> None:
    """Run one scenario under many settings, and compare them over seeds."""
    from fedlab.cli.options import with_rounds
    from fedlab.use.sweep.description import load_sweep
    from fedlab.use.sweep.options import search_of
    from fedlab.use.sweep.running import SweepRun

    told = with_rounds(overrides, rounds)
    wanted = search_of(search or [], trials, sampler, pruner)
    described, base = load_sweep(name, grid or [], seeds, told, wanted)
    folder = output or Path("runs") / f"{base}-sweep"
    run = SweepRun(folder, described, jobs, against)
    typer.echo(_begins(run, folder))
    progress = _Progress()
    if not run.run(progress.ended):
        typer.echo(
            f"Stopped. The same command goes on, or: fedlab sweep {folder / 'sweep.toml'} "
            f"--output {folder}"
        )
        raise typer.Exit(130)
    if progress.failed and len(progress.failed) == len(run.folder.members):
        raise FedlabError(f"all runs failed: {progress.named()}")
    _show(run, folder, target, against)
    if progress.failed:
        raise FedlabError(
            f"{_runs(len(progress.failed))} failed, and the figures are without them: "
            f"{progress.named()}"
        )


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _begins(run: SweepRun, folder: Path) -> str:
    at_a_time = f"{run.jobs} at a time" if run.jobs > 1 else "one after the other"
    what = f"{run.source.left} runs" if run.folder.members else f"{run.source.left} settings"
    return f"Sweep       {folder}: {what} to go, {at_a_time}"


class _Progress:
    """Prints a line for each run that has ended."""

    def __init__(self) -> None:
        self._count = 0
        self.failed: list[str] = []

    def named(self) -> str:
        """Return which runs failed, and why."""
        more = len(self.failed) - MOST_NAMED
        return "; ".join([*self.failed[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])

    def ended(self, outcome: Outcome) -> None:
        """Print how a run has ended."""
        self._count += 1
        if outcome.status == "failed":
            self.failed.append(f"{outcome.member.label}: {outcome.reason}")
        why = f"{outcome.status}: {outcome.reason}" if outcome.status != "finished" else ""
        figure = _figure(outcome.member) if outcome.came_to_its_end else ""
        shown = ", ".join(text for text in (figure, why) if text)
        typer.echo(f"{self._count:>4}  {outcome.member.label}: {shown}")


def _figure(member: Member) -> str:
    """Return what a run has reached in its last round."""
    record = member.record()
    if record.metric is None:
        return ""
    value = record.tested[-1].value(record.metric.name)
    return f"{record.metric.label} {record.metric.text(value)}"


def _show(run: SweepRun, folder: Path, target: float | None, against: str) -> None:
    from fedlab.cli.tables import say_settings
    from fedlab.terminal import PlainConsole
    from fedlab.use.sweep.running import OUTPUTS, compared, write_outputs

    comparison, settings = compared(folder, target, against)
    write_outputs(folder, comparison, settings)
    say_settings(PlainConsole(), settings)
    best = run.best()
    if best is not None:
        typer.echo(f"Best        {best.name}")
    for note in [*comparison.notes, *settings.notes()]:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"Written     {', '.join(OUTPUTS)} in {folder}")
