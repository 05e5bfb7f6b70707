"""Keys of ``[model.adapter]`` that every adapter has."""

from __future__ import annotations

from pydantic import Field

from fedlab.settings import Settings


class AdapterSettings(Settings):
    """Settings shared by all adapters; an adapter's own settings extend this class."""

    name: str = Field(description="which adapter")
    targets: tuple[str, ...] = Field(
        (),
        description="patterns of the names of layers that get one, such as 'blocks.*.attn.qkv'; "
        "default: what suits the network. The head never gets one",
    )
    last: int | None = Field(
        None,
        ge=1,
        description="only layers of the last so many stages get one (as 'last:K' of "
        "model.trainable counts them): what the stages below compute is then kept; default: all",
    )
