"""``fedlab resume``: continue a run that was stopped or killed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TextIO

import typer

from fedlab.cli.options import Cluster, RunFolderPath, on_cluster, with_rounds
from fedlab.streams import machine_output


def resume(
    run: RunFolderPath,
    rounds: Annotated[
        int | None, typer.Option(help="go on until so many rounds are done in all")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="change a key that may change within a run: engine.workers=4"),
    ] = None,
    cluster: Cluster = None,
    json: Annotated[bool, typer.Option("--json", help="print one JSON line per round")] = False,
) -> None:
    """Continue a run after its last complete round, to the same final weights.

    With --rounds 20 it goes on longer, also if it has ended.
    """
    with machine_output(json) as stream:
        changes = with_rounds(on_cluster(overrides, cluster), rounds)
        _resume(run, changes, stream if json else None)


def _resume(run: Path, changes: list[str], stream: TextIO | None) -> None:
    from fedlab.engine.ray.start import start_early
    from fedlab.errors import FedlabError
    from fedlab.run.changes import hint_of_missing, with_overrides
    from fedlab.run.folder import RunFolder

    folder = RunFolder.open(run)
    if folder.is_deployed:
        raise FedlabError(
            f"{run} is the run of a deployment, whose sites have its data: "
            f"'{folder.resume_command}' goes on with it at the sites"
        )
    if changes:
        folder = with_overrides(folder, changes)
    start_early(folder.scenario.engine.model_dump())

    from fedlab.cli.session import execute

    try:
        execute(folder, stream)
    except FedlabError as error:
        hint = hint_of_missing(folder, error)
        if not hint:
            raise
        raise FedlabError(f"{error}{hint}") from error
