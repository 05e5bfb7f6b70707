"""``fedlab finetune``: a scenario for a folder of pictures, written and run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def finetune(
    data: Annotated[Path, typer.Option(help="folder with a folder of pictures for each class")],
    backbone: Annotated[str, typer.Option(help="any timm or torchvision model, or a zoo model")],
    clients: Annotated[int, typer.Option(help="clients that the pictures are dealt to")] = 5,
    partition: Annotated[str, typer.Option(help="how they are dealt")] = "iid",
    rounds: Annotated[int, typer.Option(help="rounds of federated training")] = 5,
    image_size: Annotated[int, typer.Option(help="side of the pictures in pixels")] = 112,
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
    runs: Annotated[Path, typer.Option(help="where run folders are made")] = Path("runs"),
    json: Annotated[
        bool, typer.Option("--json", help="one JSON line a round, for machines")
    ] = False,
) -> None:
    """Fine-tune a pretrained network on a folder of your own pictures, federated over clients."""
    from fedlab.engine.ray.start import start_early
    from fedlab.use.finetune import FineTuning, compose, write

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
    content, scenario = compose(wanted)
    start_early(scenario.engine.model_dump())

    from fedlab.cli.session import execute
    from fedlab.run.folder import RunFolder

    path = write(content, wanted.name, output)
    typer.echo(f"Scenario    {path}", err=json)
    execute(RunFolder.create(runs, path.stem, scenario), as_json=json)
