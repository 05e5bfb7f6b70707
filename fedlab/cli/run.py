"""``fedlab run``: simulate a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TextIO

import typer

from fedlab.cli.options import Cluster, ScenarioName, Set, on_cluster, with_rounds
from fedlab.streams import machine_output


def run(
    scenario: ScenarioName,
    rounds: Annotated[int | None, typer.Option(help="rounds, in place of the scenario's")] = None,
    overrides: Set = None,
    cluster: Cluster = None,
    runs: Annotated[Path, typer.Option(help="folder for run folders")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="print one JSON line per round")] = False,
) -> None:
    """Simulate a scenario and write its run folder and report."""
    with machine_output(json) as stream:
        changes = with_rounds(on_cluster(overrides, cluster), rounds)
        _run(scenario, changes, runs, stream if json else None)


def _run(scenario: str, overrides: list[str], runs: Path, stream: TextIO | None) -> None:
    from fedlab.engine.ray.start import start_early
    from fedlab.scenario import load_with_origins, read_table

    # Ray takes seconds to start: it does so while other modules are imported.
    start_early(read_table(scenario, "engine", overrides))

    from fedlab.cli.session import execute
    from fedlab.run.folder import RunFolder

    loaded = load_with_origins(scenario, overrides)
    folder = RunFolder.create(runs, loaded.name, loaded.scenario)
    execute(folder, stream)
