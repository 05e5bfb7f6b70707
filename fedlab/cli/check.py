"""``fedlab check``: validate a scenario."""

from __future__ import annotations

import typer

from fedlab.cli.options import ScenarioName, Set
from fedlab.cli.trust import Trust
from fedlab.trust import own_code


def check(
    scenario: ScenarioName,
    overrides: Set = None,
    trust: Trust = False,
) -> None:
    """Check a scenario and report what a run would be refused for; exit code 2 if anything.

    Data and model are put together as for a run, if they are on this machine.
    """
    from fedlab.scenario import load_with_origins

    with own_code(trust):
        loaded = load_with_origins(scenario, overrides or [])
        from fedlab.run.rehearsal import rehearse

        for note in rehearse(loaded.scenario):
            typer.echo(f"note: {note}", err=True)
    typer.echo(f"{loaded.name} is a valid scenario.")
