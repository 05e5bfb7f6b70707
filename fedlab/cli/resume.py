"""``fedlab resume``: continue a run that was stopped or killed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TextIO

import typer

from fedlab.streams import machine_output


def resume(
    run: Annotated[Path, typer.Argument(help="the run folder")],
    json: Annotated[bool, typer.Option("--json", help="print one JSON line per round")] = False,
) -> None:
    """Continue a run after its last complete round, to the same final weights."""
    with machine_output(json) as stream:
        _resume(run, stream if json else None)


def _resume(run: Path, stream: TextIO | None) -> None:
    from fedlab.engine.ray.start import start_early
    from fedlab.run.folder import RunFolder

    folder = RunFolder.open(run)
    start_early(folder.scenario.engine.model_dump())

    from fedlab.cli.session import execute

    execute(folder, stream)
