"""The Flower ServerApp: the same rounds over Flower's own SuperLink and SuperNodes."""

from __future__ import annotations

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedlab.run.deployment import deploy

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the scenario that the run's configuration holds, by name or as TOML text."""
    deploy(grid, context.run_config)
