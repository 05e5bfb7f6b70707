"""``fedlab check``: validate a scenario."""

from __future__ import annotations

from typing import Annotated

import typer

from fedlab.cli.options import ScenarioName, Set
from fedlab.cli.trust import Trust
from fedlab.trust import own_code


def check(
    scenario: ScenarioName,
    overrides: Set = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="check keys and values alone; no data are read")
    ] = False,
    trust: Trust = False,
) -> None:
    """Check a scenario and report what a run would be refused for; exit code 2 if anything.

    Data are read and split over clients, and the model is built, as for a run, if they are on this
    machine: what a run would refuse is refused here.
    """
    from fedlab.scenario import load_with_origins

    with own_code(trust):
        loaded = load_with_origins(scenario, overrides or [])
        if quick:
            typer.echo(f"{loaded.name}: its keys and values are valid; its data were not read.")
            return
        from fedlab.run.rehearsal import rehearse

        for note in rehearse(loaded.scenario):
            typer.echo(f"note: {note}", err=True)
    typer.echo(f"{loaded.name} is a valid scenario.")
