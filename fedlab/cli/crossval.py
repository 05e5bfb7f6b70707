"""``fedlab crossval``: choose the number of rounds by cross-validation, then train on all."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from fedlab.cli.options import ScenarioName, Set, with_rounds
from fedlab.streams import machine_output
from fedlab.terminal import PlainConsole

if TYPE_CHECKING:
    from rich.table import Table

    from fedlab.run.crossval import CrossValidation


class LeaveOut(StrEnum):
    """What may be left out."""

    DOMAIN = "domain"


def crossval(
    scenario: ScenarioName,
    folds: Annotated[int, typer.Option(help="number of folds of the training examples")] = 5,
    leave_out: Annotated[
        LeaveOut | None,
        typer.Option(help="leave each domain out in turn, and test on it, in place of folds"),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="rounds of each fold, in place of the scenario's")
    ] = None,
    overrides: Set = None,
    runs: Annotated[Path, typer.Option(help="folder for run folders")] = Path("runs"),
    json: Annotated[
        bool, typer.Option("--json", help="print one JSON line per fold and round")
    ] = False,
) -> None:
    """Choose the number of rounds by k-fold cross-validation, then train on all examples.

    With --leave-out domain: train on all domains but one, test on that one, for each in turn.
    """
    told = with_rounds(overrides, rounds)
    with machine_output(json) as stream:
        _crossval(scenario, None if leave_out else folds, told, runs, stream if json else None)


def _crossval(
    scenario: str, folds: int | None, overrides: list[str], runs: Path, stream: TextIO | None
) -> None:
    from fedlab.engine.ray.start import start_early
    from fedlab.scenario import load_with_origins, read_table

    start_early(read_table(scenario, "engine", overrides))

    from fedlab.cli.session import execute
    from fedlab.files import CROSSVAL, DATA
    from fedlab.run.crossval import cross_validate, final_fit, leave_one_domain_out
    from fedlab.run.display import FoldLines, JsonLines
    from fedlab.run.folder import RunFolder

    loaded = load_with_origins(scenario, overrides)
    console = PlainConsole(stderr=stream is not None)
    display = FoldLines(console) if stream is None else JsonLines(stream)
    if folds is None:
        result = leave_one_domain_out(loaded.scenario, [display])
        console.print(_table_of_domains(result))
        console.say(f"The final fit is on all domains, for {result.rounds} rounds.")
    else:
        result = cross_validate(loaded.scenario, folds, [display])
        console.print(_table(result))
        console.say(f"The final fit takes {result.rounds} rounds, the mean of the best ones.")
    folder = RunFolder.create(
        runs, f"{loaded.name}-crossval", final_fit(loaded.scenario, result.rounds)
    )
    folder.write_json(CROSSVAL, result.as_json())
    folder.write_json(DATA, result.data)
    execute(folder, stream)


def _table_of_domains(result: CrossValidation) -> Table:
    from rich.table import Table

    from fedlab.metrics.names import metric_name

    metric = metric_name(result.folds[0].metric)
    table = Table("left out", "examples", metric.label, title="Leave one domain out")
    for fold in result.folds:
        table.add_row(fold.left_out, f"{fold.test_examples:,}", metric.text(fold.best))
    table.add_section()
    spread = f"{metric.text(result.mean)} ± {metric.text(result.std)}"
    table.add_row("mean ± std", "", spread)
    return table


def _table(result: CrossValidation) -> Table:
    from rich.table import Table

    from fedlab.metrics.names import metric_name

    metric = metric_name(result.folds[0].metric)
    table = Table("fold", "best round", f"{metric.label} there", title="Cross-validation")
    for fold in result.folds:
        table.add_row(str(fold.fold), str(fold.best_round), metric.text(fold.best))
    table.add_section()
    spread = f"{metric.text(result.mean)} ± {metric.text(result.std)}"
    table.add_row("mean ± std", str(result.rounds), spread)
    return table
