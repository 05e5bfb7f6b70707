"""``fedlab crossval``: choose the number of rounds by cross-validation, then train on all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from fedlab.run.crossval import CrossValidation


def crossval(
    scenario: Annotated[str, typer.Argument(help="a built-in scenario's name, or a TOML file")],
    folds: Annotated[int, typer.Option(help="number of folds of the training examples")] = 5,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="override a key: client.optimizer.lr=0.01")
    ] = None,
    runs: Annotated[Path, typer.Option(help="folder for run folders")] = Path("runs"),
    json: Annotated[
        bool, typer.Option("--json", help="print one JSON line per fold and round")
    ] = False,
) -> None:
    """Choose the number of rounds by k-fold cross-validation, then train on all examples."""
    from fedlab.engine.ray.start import start_early
    from fedlab.scenario import load_with_origins, read_table

    start_early(read_table(scenario, "engine", overrides or []))

    from rich.console import Console

    from fedlab.cli.session import execute
    from fedlab.files import CROSSVAL
    from fedlab.run.crossval import cross_validate, final_fit
    from fedlab.run.display import FoldLines, JsonLines
    from fedlab.run.folder import RunFolder

    loaded = load_with_origins(scenario, overrides or [])
    console = Console(stderr=json)
    display = JsonLines(sys.stdout) if json else FoldLines(console)
    result = cross_validate(loaded.scenario, folds, [display])
    console.print(_table(result))
    console.print(f"The final fit takes {result.rounds} rounds, the mean of the best ones.")
    folder = RunFolder.create(
        runs, f"{loaded.name}-crossval", final_fit(loaded.scenario, result.rounds)
    )
    folder.write_json(CROSSVAL, result.as_json())
    execute(folder, as_json=json)


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
