"""``fedlab finetune``: write and run a scenario for a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from fedlab.streams import machine_output

if TYPE_CHECKING:
    from fedlab.use.finetune import FineTuning


def finetune(
    data: Annotated[Path, typer.Option(help="folder with one subfolder of pictures per class")],
    backbone: Annotated[str, typer.Option(help="any timm or torchvision model, or a zoo model")],
    clients: Annotated[int, typer.Option(help="number of clients")] = 5,
    partition: Annotated[
        str, typer.Option(help="partitioner that distributes the pictures")
    ] = "iid",
    rounds: Annotated[int, typer.Option(help="rounds of federated training")] = 5,
    image_size: Annotated[
        int, typer.Option(help="side of the model's square inputs in pixels")
    ] = 112,
    trainable: Annotated[str, typer.Option(help="'all', 'head', 'last:K' or 'norm+head'")] = "all",
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="'true' (the library's hub), 'false', 'package', a file of weights or a run "
            "folder; by default a package's weights where there are any, else the hub's"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="the scenario file; by default named after the data")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="set a key: client.optimizer.lr=0.01")
    ] = None,
    runs: Annotated[Path, typer.Option(help="folder for run folders")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="print one JSON line per round")] = False,
) -> None:
    """Fine-tune a pretrained network on a folder of pictures, federated over clients."""
    from fedlab.use.finetune import FineTuning

    wanted = FineTuning(
        data=data,
        backbone=backbone,
        clients=clients,
        partition=partition,
        rounds=rounds,
        image_size=image_size,
        trainable=trainable,
        pretrained={"true": True, "false": False}.get(pretrained or "", pretrained),
        overrides=tuple(overrides or ()),
    )
    with machine_output(json) as stream:
        _finetune(wanted, output, runs, stream if json else None)


def _finetune(wanted: FineTuning, output: Path | None, runs: Path, stream: TextIO | None) -> None:
    from fedlab.engine.ray.start import start_early
    from fedlab.use.finetune import compose, write

    content, scenario = compose(wanted)
    start_early(scenario.engine.model_dump())

    from fedlab.cli.session import execute
    from fedlab.run.folder import RunFolder

    path = write(content, wanted.name, output)
    folder = None
    try:
        folder = RunFolder.create(runs, path.stem, scenario)
        execute(folder, stream)
    finally:
        if folder is not None and folder.path.exists():
            typer.echo(f"Scenario    {path}", err=stream is not None)
        else:
            # A run that never began leaves no folder, and needs no scenario.
            path.unlink(missing_ok=True)
