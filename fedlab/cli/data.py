"""``fedlab data``: inspect a scenario's data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlab.cli import inspect
from fedlab.cli.help import App
from fedlab.cli.options import ScenarioName, Set
from fedlab.cli.trust import Trust
from fedlab.trust import own_code

if TYPE_CHECKING:
    from rich.table import Table

app = App(name="data", help="Look at your own data, or at a scenario's.", no_args_is_help=True)
app.command("inspect")(inspect.inspect)

_MEANINGS = {
    "size_gini": "Gini coefficient of the sizes (0: all equal)",
    "label_distance": "mean distance to the pooled labels (0: iid, 1: disjoint)",
    "effective_classes": "mean number of classes that a client effectively holds",
}


@app.command()
def partition(
    scenario: ScenarioName,
    overrides: Set = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="the picture to write: .png, .pdf or .svg")
    ] = Path("partition.png"),
    trust: Trust = False,
) -> None:
    """Plot which client holds which examples, and print sizes and skew."""
    from fedlab.data.description import statistics
    from fedlab.results.drawing.partition import draw_partition
    from fedlab.results.drawing.style import check_format, save_figure
    from fedlab.results.rows import PartitionFile
    from fedlab.scenario import load
    from fedlab.scenario.parts import load_federation
    from fedlab.terminal import PlainConsole

    check_format(output)
    with own_code(trust):
        checked: Any = load(scenario, overrides or [])
        federation = load_federation(checked)
    for note in federation.dataset.notes:
        typer.echo(f"note: {note}", err=True)
    described = statistics(federation.partition, federation.dataset.train, federation.dataset.task)
    save_figure(draw_partition(PartitionFile.model_validate(described)), output)
    title = f"{checked.data.name}, split by '{checked.data.partition.name}'"
    counts = {"examples on clients": federation.partition.total}
    if federation.public is not None:
        counts["public examples"] = len(federation.public)
    counts["examples in the server's test set"] = len(federation.dataset.test)
    PlainConsole().print(_summary(title, described, counts))
    typer.echo(f"picture: {output}")


def _summary(title: str, described: dict[str, Any], counts: dict[str, int]) -> Table:
    import numpy as np
    from rich.table import Table

    sizes = np.asarray(described["sizes"])
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_row("clients", f"{described['clients']:,}")
    if "described" in described:
        table.add_row("clients looked at for what follows", f"{len(sizes):,}")
    for what, count in counts.items():
        table.add_row(what, f"{count:,}")
    quantiles = (sizes.min(), np.median(sizes), sizes.mean(), sizes.max())
    table.add_row(
        "examples a client: least, median, mean, most",
        ", ".join(f"{value:,.0f}" for value in quantiles),
    )
    for key, value in described["skew"].items():
        table.add_row(_MEANINGS[key], f"{value:.3f}")
    return table
