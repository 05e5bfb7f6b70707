"""``fedlab crossval``: choose the number of rounds by cross-validation, then train on all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fedlab.run.crossval import CrossValidation, Fold


def crossval(
    scenario: Annotated[str, typer.Argument(help="a built-in scenario's name, or a TOML file")],
    folds: Annotated[int, typer.Option(help="parts that the training examples are cut into")] = 5,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="override a key: client.optimizer.lr=0.01")
    ] = None,
    runs: Annotated[Path, typer.Option(help="where run folders are made")] = Path("runs"),
    json: Annotated[
        bool, typer.Option("--json", help="one JSON line a fold and a round, for machines")
    ] = False,
) -> None:
    """Choose the number of rounds by k-fold cross-validation, then train on everything with it."""
    from fedlab.engine.ray.start import start_early
    from fedlab.scenario import load_with_origins, read_table

    start_early(read_table(scenario, "engine", overrides or []))

    from rich.console import Console

    from fedlab.cli.session import execute
    from fedlab.files import CROSSVAL
    from fedlab.run.crossval import cross_validate, final_fit
    from fedlab.run.folder import RunFolder

    loaded = load_with_origins(scenario, overrides or [])
    console = Console(stderr=json)
    result = cross_validate(loaded.scenario, folds, lambda fold: _tell(fold, folds, console, json))
    console.print(_table(result))
    console.print(f"The final fit takes {result.rounds} rounds, the mean of the best ones.")
    folder = RunFolder.create(
        runs, f"{loaded.name}-crossval", final_fit(loaded.scenario, result.rounds)
    )
    folder.write_json(CROSSVAL, result.as_json())
    execute(folder, as_json=json)


def _tell(fold: Fold, folds: int, console: Console, as_json: bool) -> None:
    """Say how a fold went, as soon as it is known."""
    import json
    from dataclasses import asdict

    if as_json:
        typer.echo(json.dumps(asdict(fold)))
        return
    console.print(
        f"fold {fold.fold}/{folds}: best of {fold.rounds} rounds is {fold.best_round}, "
        f"{_value(fold.metric, fold.best)}",
        highlight=False,
    )


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


def _value(name: str, value: float) -> str:
    from fedlab.metrics.names import metric_name

    metric = metric_name(name)
    return f"{metric.label} {metric.text(value)}"
