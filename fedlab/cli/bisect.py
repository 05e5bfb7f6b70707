"""``fedlab bisect``: where a run leaves its course."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.cli.options import RunFolderPath

if TYPE_CHECKING:
    from fedlab.run.bisect import Departure


def bisect(
    run: RunFolderPath,
    metric: Annotated[str, typer.Option(help="the test metric that is followed")] = "loss",
    factor: Annotated[
        float,
        typer.Option(
            min=1.0,
            help="how many times worse than its best so far it may become (of shares: 1 − x)",
        ),
    ] = 2.0,
) -> None:
    """Find the first round, client and step at which a run leaves its course."""
    from fedlab.run.bisect import bisect as find
    from fedlab.run.folder import RunFolder

    found = find(RunFolder.open(run), metric, factor, typer.echo)
    if found is None:
        typer.echo(f"The test {metric} never is {factor:g} times worse than its best so far")
        return
    typer.echo(_client(found))
    typer.echo(_step(found))
    typer.echo(
        f"Look closer: fedlab replay {run} --round {found.round} --client {found.client} --pdb"
    )


def _client(found: Departure) -> str:
    norm = "is not finite" if math.isnan(found.norm) else f"has the norm {found.norm:.3g}"
    return (
        f"client {found.client}: its update {norm}; the median of the others is {found.usual:.3g}"
    )


def _step(found: Departure) -> str:
    if not found.losses:
        return "its algorithm takes steps of its own, which are not observed"
    if found.step is None:
        return f"no step of its {len(found.losses)} leaves the course"
    loss = found.losses[found.step - 1]
    before = min(found.losses[: found.step - 1], default=math.nan)
    return (
        f"step {found.step} of {len(found.losses)}: its loss is {loss:.4g}, and the least before "
        f"was {before:.4g}"
    )
