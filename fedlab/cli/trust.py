"""The option with which a command imports code that a scenario or a run folder names."""

from __future__ import annotations

from typing import Annotated

import typer

Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="import code outside fedlab, named as module:Class; it may do anything",
    ),
]
