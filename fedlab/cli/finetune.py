"""``fedlab finetune``: write and run a scenario that fine-tunes a backbone on a user's own data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from fedlab.cli.completion import backbones
from fedlab.streams import machine_output

if TYPE_CHECKING:
    from fedlab.use.finetune import FineTuning


def finetune(
    data: Annotated[
        Path,
        typer.Option(help="your data: a folder of pictures by class or by site, a CSV file, ..."),
    ],
    backbone: Annotated[
        str | None,
        typer.Option(
            help="a pretrained model ('fedlab list backbones'), or one of the zoo; default: by the "
            "kind of data, for pictures EfficientNet-Lite0",
            autocompletion=backbones,
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="'auto': the head first, then the network; 'probe': the head alone; 'full': the "
            "whole network at once; 'lora': the head first, then low-rank adapters beside the "
            "frozen network, so that little travels"
        ),
    ] = "auto",
    clients: Annotated[
        int | None, typer.Option(help="number of clients; default: the data's own sites, else 5")
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(help="partitioner that distributes the data; default: sites, else 'iid'"),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="rounds of federated training; default: by the recipe")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="local epochs a round of the last phase; default: by the data"),
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="learning rate of the last phase (AdamW)")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="examples per step of the last phase")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="side of the model's square inputs in pixels; default: as in pretraining, up to "
            "224; smaller is faster"
        ),
    ] = None,
    trainable: Annotated[
        str | None,
        typer.Option(help="what the last phase trains: 'all', 'head', 'last:K', 'norm+head', ..."),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="'true' (the library's hub), 'false', 'package', a file of weights or a run "
            "folder; by default a package's weights where there are any, else the hub's"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="where clients train (engine.device): 'cpu', 'auto', 'cuda', ... ('fedlab list "
            "devices'); default: the CPU"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="every random draw derives from it")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="the scenario file; by default named after the data"),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="set a key: client.optimizer.lr=0.01")
    ] = None,
    runs: Annotated[Path, typer.Option(help="folder for run folders")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="print one JSON line per round")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="write the scenario, and do not run it")
    ] = False,
) -> None:
    """Fine-tune a pretrained network on your own data, federated over clients."""
    from fedlab.assets import hugging_face

    of_hub, prefix, name = (backbone or "").partition(hugging_face.TRANSFORMERS)
    if prefix and not of_hub and pretrained in (None, "true") and not dry_run:
        # What this imports is small, and what comes next is not: the answer takes no longer.
        hugging_face.check_at_hand(name, "--backbone")
    from fedlab.use.finetune import FineTuning
    from fedlab.use.recipes import Wishes

    wanted = FineTuning(
        data=data,
        backbone=backbone,
        recipe=recipe,
        clients=clients,
        partition=partition,
        image_size=image_size,
        wishes=Wishes(rounds, epochs, lr, batch_size, trainable),
        pretrained={"true": True, "false": False}.get(pretrained or "", pretrained),
        device=device,
        seed=seed,
        overrides=tuple(overrides or ()),
    )
    with machine_output(json) as stream:
        _finetune(wanted, output, runs, stream if json else None, dry_run)


def _finetune(
    wanted: FineTuning, output: Path | None, runs: Path, stream: TextIO | None, dry_run: bool
) -> None:
    from fedlab.engine.ray.start import start_early
    from fedlab.use.finetune import compose, write

    composed = compose(wanted)
    for line in composed.understood:
        typer.echo(line, err=stream is not None)
    if dry_run:
        from fedlab.run.rehearsal import rehearse

        # As 'fedlab check' does: a scenario that is written out can be run.
        for note in rehearse(composed.scenario):
            typer.echo(f"note: {note}", err=True)
        path = write(composed.content, composed.name, output)
        typer.echo(f"Scenario    {path}", err=stream is not None)
        return
    start_early(composed.scenario.engine.model_dump())

    from fedlab.cli.session import execute
    from fedlab.run.folder import RunFolder

    path = write(composed.content, composed.name, output)
    folder = None
    try:
        folder = RunFolder.create(runs, path.stem, composed.scenario)
        execute(folder, stream)
    finally:
        if folder is not None and folder.path.exists():
            typer.echo(f"Scenario    {path}", err=stream is not None)
        else:
            # A run that never began leaves no folder, and needs no scenario.
            path.unlink(missing_ok=True)
