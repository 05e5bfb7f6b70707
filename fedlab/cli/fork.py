"""``fedlab fork``: go on from a round of a run with other keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlab.cli.options import RunFolderPath, Set, with_rounds


def fork(
    run: RunFolderPath,
    at: Annotated[int, typer.Option(min=0, help="the last round that both runs have in common")],
    overrides: Set = None,
    rounds: Annotated[
        int | None, typer.Option(help="rounds in all, in place of the scenario's")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="the new run folder; default: RUN-fork-AT"),
    ] = None,
) -> None:
    """Go on from a round of a run with other keys, so that they alone make the difference."""
    from fedlab.engine.ray.start import start_early
    from fedlab.run.folder import RunFolder

    parent = RunFolder.open(run)
    start_early(parent.scenario.engine.model_dump())

    from fedlab.cli.session import execute
    from fedlab.results.forks import against_parent
    from fedlab.results.reading import RunRecord
    from fedlab.run.fork import fork as make_fork
    from fedlab.terminal import PlainConsole

    console = PlainConsole()
    path = output or _free(run.resolve(), at)
    changes = with_rounds(overrides, rounds)
    made = make_fork(parent, at, changes, path, lambda text: console.say(f"Fork        {text}"))
    execute(made.folder, None)
    sentence = against_parent(RunRecord.load(path))
    if sentence:
        console.say(sentence)


def _free(run: Path, at: int) -> Path:
    """Return a path beside a run that is not there yet."""
    path, number = run.with_name(f"{run.name}-fork-{at}"), 1
    while path.exists():
        number += 1
        path = run.with_name(f"{run.name}-fork-{at}-{number}")
    return path
