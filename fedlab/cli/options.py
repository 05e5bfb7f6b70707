"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlab.cli.completion import keys, run_folders, scenarios

ScenarioName = Annotated[
    str,
    typer.Argument(help="a built-in scenario's name, or a TOML file", autocompletion=scenarios),
]
RunFolderPath = Annotated[Path, typer.Argument(help="the run folder", autocompletion=run_folders)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="override a key: client.optimizer.lr=0.01; 'none' takes an optional key or table out: "
        "data.augmentation=none",
        autocompletion=keys,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="where it is computed: 'cpu', 'auto', 'cuda', ... ('fedlab list devices'); by default "
        "as the run's engine.device says, or on the CPU where that is not here",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="auto|HOST:PORT",
        help="run clients on the nodes of this Ray cluster, as many as fit: engine.address",
    ),
]


def on_cluster(overrides: list[str] | None, cluster: str | None) -> list[str]:
    """Return overrides with what ``--cluster`` says, if anything, before all others."""
    if cluster is None:
        return list(overrides or [])
    # A scenario's own number of workers, or another engine, is for a machine of one's own.
    keys = ["engine.name=ray", f"engine.address={cluster}", "engine.workers=none"]
    return [*keys, *(overrides or [])]


def with_rounds(overrides: list[str] | None, rounds: int | None) -> list[str]:
    """Return overrides with what ``--rounds`` says, if anything, after all others."""
    return [*(overrides or []), *([] if rounds is None else [f"rounds={rounds}"])]
