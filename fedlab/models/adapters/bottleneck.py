"""Bottleneck adapters (Houlsby et al. 2019, ICML)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from fedlab.models.adapters import layers as found
from fedlab.models.adapters.contract import Adapter, Part
from fedlab.models.adapters.settings import AdapterSettings
from fedlab.registry import adapters

_NETWORKS = ("mlp", "ffn")
"""How modules are called that are a whole feed-forward network."""
_LAST_LAYERS = ("linear2", "leave")
"""How the last layer of a feed-forward network is called where it is no module of its own."""


class BottleneckSettings(AdapterSettings):
    """Keys of ``[model.adapter]``."""

    width: int = Field(64, ge=1, le=4096, description="m, the values between its two layers")
    placement: Literal["serial", "parallel"] = Field(
        "serial",
        description="'serial': of what attention and feed-forward networks put out; 'parallel': "
        "beside feed-forward networks, of what enters them (AdaptFormer, Chen et al. 2022)",
    )
    scale: float = Field(
        1.0, gt=0, description="s, what it adds is multiplied by it; AdaptFormer's is 0.1"
    )


@adapters.register("bottleneck")
class Bottleneck(Adapter):
    """Bottleneck adapters: two small layers after each sublayer (Houlsby et al. 2019, ICML).

    Section 2.1, of what a sublayer puts out, before the residual connection around it:

        h ← h + s · (W_up σ(W_down h + b_down) + b_up)

    σ is GELU. W_down is drawn as PyTorch draws linear layers, and W_up and b_up are zero, so that
    the network starts as the pretrained one. In parallel (AdaptFormer, Chen et al. 2022, NeurIPS)
    the part in parentheses is of what enters the sublayer. It cannot become part of the network's
    own weights.
    """

    Settings: ClassVar[type[AdapterSettings]] = BottleneckSettings
    part: ClassVar[str] = "bottleneck"
    merges: ClassVar[bool] = False
    settings: BottleneckSettings

    def usual_targets(self, layers: dict[str, nn.Module]) -> list[str]:
        """Return attention and feed-forward networks, or the layers that they end with.

        In parallel, they are the feed-forward networks that are modules of their own.
        """
        if self.settings.placement == "parallel":
            return [name for name in layers if _last(name) in _NETWORKS]
        return [name for name, layer in layers.items() if _is_sublayer(name, layer)]

    def part_for(self, name: str, layer: nn.Module, caller: nn.Module) -> Part | None:
        """Return the two layers for a module that linear layers lead through."""
        inner = [m for m in layer.modules() if found.is_linear(m)]
        if not inner or caller is not layer:
            return None
        entering, leaving = found.sizes(inner[0])[0], found.sizes(inner[-1])[1]
        is_parallel = self.settings.placement == "parallel"
        return BottleneckPart(
            entering if is_parallel else leaving,
            self.settings.width,
            leaving,
            self.settings.scale,
            is_parallel,
        )


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _is_sublayer(name: str, layer: nn.Module) -> bool:
    """Return whether a module is a sublayer or ends one: timm's, PyTorch's, transformers'."""
    if isinstance(layer, nn.MultiheadAttention) or name.endswith("output.dense"):
        return True
    is_distilbert = _last(name) == "attention" and hasattr(layer, "out_lin")
    return is_distilbert or _last(name) in ("attn", *_NETWORKS, *_LAST_LAYERS)


class BottleneckPart(Part):
    """Two layers with few values between them.

    Args:
        inputs: The width of what it takes.
        width: m.
        outputs: The width of what it is added to.
        scale: s.
        is_parallel: Whether it takes what enters the module, rather than what the module puts out.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, scale: float, is_parallel: bool
    ) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, width)
        self.up = nn.Linear(width, outputs)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.scale = scale
        self.is_parallel = is_parallel

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return (..., outputs) for (..., inputs)."""
        added: torch.Tensor = self.scale * self.up(nn.functional.gelu(self.down(states)))
        return added

    def attach(self, layer: nn.Module, caller: nn.Module) -> None:
        """Add to what the module puts out."""
        layer.register_forward_hook(_add)


def _add(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> Any:
    part = layer.bottleneck
    assert isinstance(part, BottleneckPart)
    # Attention gives weights or a cache beside its states.
    states = output[0] if isinstance(output, tuple) else output
    added = states + part(inputs[0] if part.is_parallel else states)
    return (added, *output[1:]) if isinstance(output, tuple) else added
