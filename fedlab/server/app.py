"""The Flower ServerApp: the same rounds over Flower's own SuperLink and SuperNodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from rich.console import Console

from fedlab.engine.flower import FlowerGridEngine
from fedlab.results.display import PlainLines
from fedlab.results.run_folder import RunFolder
from fedlab.scenario import from_run_config
from fedlab.server.simulation import Simulation, run

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the scenario that the run's configuration holds, by name or as TOML text."""
    scenario = from_run_config(str(context.run_config["scenario"]))
    folder = RunFolder.create(Path("runs"), "deployment", scenario)

    def over_grid(scenario: Any, federation: Any) -> FlowerGridEngine:
        return FlowerGridEngine(scenario.engine, scenario, federation, grid)

    run(folder, [PlainLines(folder, Console())], lambda s: Simulation(s, make_engine=over_grid))
