"""``fedlab transfer-gain``: what pretraining gains, and how much of the network to train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlab.cli.options import ScenarioName, Set

TABLE, PLOT = "transfer-gain.md", "transfer-gain.png"


def transfer_gain(
    scenario: ScenarioName,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help="'random', 'probe', 'norm', 'bitfit', 'lora', 'last', 'full', 'recipe'; may be "
            "given several times; default: all",
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="rounds of each; default: as the scenario has")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            help="count rounds to this value of the test metric, such as 0.9; default: 95 % of the "
            "best policy's last"
        ),
    ] = None,
    overrides: Set = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="folder for the runs, table and plot, which is gone on with where it is there; "
            "default: runs/NAME-transfer-gain",
        ),
    ] = None,
) -> None:
    """Compare pretrained with random weights, and ways to fine-tune, in one table and plot."""
    from fedlab.engine.ray.start import start_early
    from fedlab.scenario import load_with_origins, read_table

    start_early(read_table(scenario, "engine", overrides or []))

    from fedlab.files import write_whole
    from fedlab.results.comparison import Comparison
    from fedlab.results.drawing.style import save_figure
    from fedlab.results.transfer_gain import TransferGain
    from fedlab.run.display import PlainLines
    from fedlab.run.folder import RunFolder
    from fedlab.terminal import PlainConsole
    from fedlab.use.transfer_gain import policies, run_all, scenarios

    console = PlainConsole()
    wanted = policies(policy or ())
    loaded = load_with_origins(scenario, overrides or [])
    made = scenarios(loaded.scenario, wanted, rounds)
    folder = output or Path("runs") / f"{loaded.name}-transfer-gain"

    def shown(name: str) -> list[PlainLines]:
        console.say(f"Policy      {name}")
        return [PlainLines(RunFolder.open(folder / name), console)]

    records = list(run_all(folder, made, shown))
    if len(records) < len(made):
        command = f"fedlab transfer-gain {scenario} --output {folder}"
        console.say(f"Stopped. '{command}' with the same options goes on.")
        raise typer.Exit(130)
    metric = records[0].metric
    assert metric is not None  # every policy is evaluated after its last round
    gain = TransferGain(Comparison(records, metric), [own.what for own in wanted], target)
    write_whole(folder / TABLE, gain.markdown().encode())
    save_figure(gain.comparison.draw(), folder / PLOT)
    typer.echo(gain.markdown(), nl=False)
    typer.echo(f"Table  {folder / TABLE}")
    typer.echo(f"Plot   {folder / PLOT}")
