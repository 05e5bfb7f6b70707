"""Backbones: keys of ``[model]``, the loaded model, and its stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field, field_validator
from torch import nn

from fedlab.models.settings import ModelSettings

# The names that timm and torchvision give to the list of a network's blocks.
_LISTS_OF_BLOCKS = {"blocks", "stages", "layers", "features", "encoder", "trunk_output"}
_NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


class BackboneSettings(ModelSettings):
    """Settings of a timm or torchvision model."""

    image_size: int | None = Field(
        None,
        ge=8,
        le=2048,
        description="side in pixels that pictures are resized to; default: as the data set has "
        "them. Vision Transformers resample their position embeddings to it",
    )
    blocks: int | None = Field(
        None,
        ge=1,
        le=128,
        description="keep only this many of a Vision Transformer's first blocks",
    )

    @field_validator("name")
    @classmethod
    def _one_name(cls, name: str) -> str:
        # timm and torchvision take seconds to import.
        from fedlab.models.backbone_names import resolved

        return resolved(name)


@dataclass(frozen=True)
class Backbone:
    """A timm or torchvision model with a new head.

    Attributes:
        module: The model; takes (N, channels, H, W), gives (N, outputs).
        head: Prefix of the head's parameter names.
        stages: Prefixes of its blocks from input to output, without the head.
        mean, std: Per-channel statistics of the normalisation in pretraining.
        channels: Channels of its pictures.
    """

    module: nn.Module
    head: str
    stages: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int


def start_small(module: nn.Module, head: str) -> None:
    """Draw a new head's weights from N(0, 0.01²) and set its biases to zero.

    A pretrained backbone's features are large: under a head of the usual scale the first losses,
    and so the first gradients, are large enough to damage the pretrained weights.
    """
    for name, layer in module.named_modules():
        if name.startswith(head) and isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def stages_of(module: nn.Module, head: str) -> tuple[str, ...]:
    """Return the prefixes of a model's blocks from input to output.

    A stage is a child with parameters; lists of blocks are expanded, and so are modules that
    contain the head and other layers. A separate normalisation layer is not a stage.
    """
    return tuple(_stages(module, head, ""))


def _stages(module: nn.Module, head: str, prefix: str) -> Iterator[str]:
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        # Not equality: "head_dist" of a distilled model is part of the head, too.
        is_head = path.startswith(head)
        if is_head or isinstance(child, _NORMS) or not any(True for _ in child.parameters()):
            continue
        if name in _LISTS_OF_BLOCKS or head.startswith(f"{path}."):
            yield from _stages(child, head, f"{path}.")
        else:
            yield path
