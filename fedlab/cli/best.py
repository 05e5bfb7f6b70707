"""The option that takes the best round's weights in place of the last one's."""

from __future__ import annotations

from typing import Annotated

import typer

Best = Annotated[
    bool,
    typer.Option(
        "--best",
        help="use the weights of the round that was best on the clients' validation parts "
        "(best.safetensors), not the last ones",
    ),
]
