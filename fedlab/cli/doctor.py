"""``fedlab doctor``: what this installation has, what it lacks, and what to type."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="also start Ray, which takes seconds")
    ] = False,
) -> None:
    """Say what is installed, what is missing and what to type; exit code 0 if fedlab can run."""
    if deep:
        from fedlab.engine.ray.start import start_early

        start_early({"name": "ray", "workers": 1})

    from fedlab.terminal import PlainConsole
    from fedlab.use.installation import findings

    found = list(findings(deep))
    console = PlainConsole()
    console.rows(("", "", "found"), [(each.state, each.subject, each.found) for each in found])
    for each in found:
        if each.remedy:
            console.say(f"{each.subject}: {each.remedy}")
    missing = [each.subject for each in found if each.state == "missing"]
    if missing:
        console.say(f"fedlab cannot run: {', '.join(missing)}")
        raise typer.Exit(1)
    console.say("fedlab can run.")
