"""``fedlab check``: validate a scenario."""

from __future__ import annotations

from typing import Annotated

import typer

from fedlab.cli.trust import Trust
from fedlab.trust import own_code


def check(
    scenario: Annotated[str, typer.Argument(help="a built-in scenario's name, or a TOML file")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="override a key: client.optimizer.lr=0.01")
    ] = None,
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
