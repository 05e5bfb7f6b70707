"""The Flower ServerApp: the same rounds over Flower's own SuperLink and SuperNodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedlab.engine.flower.engine import FlowerGridEngine
from fedlab.run.display import PlainLines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import from_run_config
from fedlab.terminal import PlainConsole

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the scenario that the run's configuration holds, by name or as TOML text."""
    scenario = from_run_config(str(context.run_config["scenario"]))
    folder = RunFolder.create(Path("runs"), "deployment", scenario)

    def over_grid(scenario: Any, federation: Any) -> FlowerGridEngine:
        return FlowerGridEngine(scenario.engine, scenario, federation, grid)

    run(
        folder, [PlainLines(folder, PlainConsole())], lambda s: Simulation(s, make_engine=over_grid)
    )
