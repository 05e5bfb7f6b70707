"""``fedlab verify``: run rounds of a run again, and compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.cli.options import RunFolderPath
from fedlab.errors import FedlabError

if TYPE_CHECKING:
    from fedlab.run.verify import Compared

SHOWN = 16
"""Letters of a digest."""


def verify(
    run: RunFolderPath,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="how many rounds are run again, drawn at random; default: all"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="of the draw; default: one that nobody knows before")
    ] = None,
) -> None:
    """Run rounds of a run again, and compare their weights and figures, bit for bit."""
    from fedlab.engine.ray.start import start_early
    from fedlab.run.folder import RunFolder

    folder = RunFolder.open(run)
    start_early(folder.scenario.engine.model_dump())

    from fedlab.run.verify import verify as check

    result = check(folder, rounds, seed, typer.echo)
    for each in result.compared:
        typer.echo(_line(each))
    for difference in result.elsewhere:
        typer.echo(f"note: {difference}", err=True)
    if not result.is_own_source:
        typer.echo(
            "note: the run was made by another fedlab, or its scenario or data files were changed",
            err=True,
        )
    if result.broken is not None:
        raise FedlabError(
            f"{run}: the chain is broken at round {result.broken}: its line, or one before, is "
            "missing or not what the run wrote"
        )
    if not result.holds:
        wrong = [str(each.round) for each in result.compared if not each.agrees]
        raise FedlabError(f"{run}: other results in round {', '.join(wrong)}")
    typer.echo(f"The chain of {result.links} links is whole; it ends in {result.last}")


def _line(each: Compared) -> str:
    if each.agrees:
        return f"round {each.round}: the same weights and figures, {each.found[:SHOWN]}"
    what = f"weights {each.found[:SHOWN]}, and {each.recorded[:SHOWN]} in the run"
    if each.found == each.recorded:
        what = f"the same weights, and another {', '.join(each.differences)}"
    return f"round {each.round}: {what}"
