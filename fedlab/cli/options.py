"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fedlab.cli.completion import keys, run_folders, scenarios
from fedlab.errors import FedlabError

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


def with_rounds(
    overrides: list[str] | None, rounds: int | None, phases: Sequence[Any] = ()
) -> list[str]:
    """Return overrides with what ``--rounds`` says, after all others.

    Args:
        overrides: The others.
        rounds: The option.
        phases: The rounds of each phase of the scenario, if it has phases: the last one's change.

    Raises:
        FedlabError: If the phases before the last have so many rounds already.
    """
    laid = list(overrides or [])
    if rounds is None:
        return laid
    *before, last = phases or (None,)
    if last is None or not all(isinstance(count, int) for count in before):
        return [*laid, f"rounds={rounds}"]
    if rounds <= sum(before):
        raise FedlabError(
            f"--rounds: the phases before the last one have {sum(before)} rounds, so that {rounds} "
            f"are too few; --set phases.0.rounds=N changes a phase's"
        )
    return [*laid, f"rounds={rounds}", f"phases.{len(before)}.rounds={rounds - sum(before)}"]
