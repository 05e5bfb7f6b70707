"""(IA)³: activations rescaled by learned vectors (Liu et al. 2022, NeurIPS)."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import torch
from torch import nn

from fedlab.models.adapters import layers as found
from fedlab.models.adapters.contract import Adapter, Part
from fedlab.models.adapters.replaced import ReplacingPart
from fedlab.registry import adapters

_FUSED = re.compile(r"(^|\.)(qkv|c_attn|Wqkv)$")
"""How linear layers are called that give queries, keys and values in one, in this order."""
_KEYS_AND_VALUES = re.compile(r"(^|\.)(k|v|key|value|k_proj|v_proj|k_lin|v_lin)$")
_LAST_OF_FEEDFORWARD = re.compile(
    r"(^|\.)(fc2|lin2|linear2|linear_2|down_proj|wo|leave|mlp\.c_proj|mlp\.3|output\.dense)$"
)
"""How the layers are called that take the inner activations of a feed-forward network."""


@adapters.register("ia3")
class Ia3(Adapter):
    """(IA)³: keys, values and inner activations, each times a vector (Liu et al. 2022, NeurIPS).

    Section 3.3, with vectors l of ones to begin with:

        softmax(Q (l_k ⊙ Kᵀ) / √d) (l_v ⊙ V)        (l_ff ⊙ γ(W₁ x)) W₂

    Of a fused weight of queries, keys and values the last two thirds are rescaled; of a convolution
    its output channels.
    """

    part: ClassVar[str] = "ia3"

    def usual_targets(self, layers: dict[str, nn.Module]) -> list[str]:
        """Return what gives keys and values, and what takes a feed-forward network's activations.

        Without any attention, convolutions, or else all linear layers.
        """
        named = [name for name in layers if _scales_outputs(name, layers[name])]
        if not named:
            return found.convolutions(layers) or found.linear(layers)
        last = [n for n, layer in layers.items() if found.is_linear(layer) and _takes_inner(n)]
        return [name for name in layers if name in {*named, *last}]

    def part_for(self, name: str, layer: nn.Module, caller: nn.Module) -> Part | None:
        """Return the vector for a layer."""
        if found.is_fused_attention(layer):
            return FusedPart(len(layer.get_parameter("in_proj_weight")))
        if isinstance(layer, found.CONVOLUTIONS):
            return OutputPart(layer.out_channels, 0)
        if not found.is_linear(layer) or caller is not layer:
            return None
        inputs, outputs = found.sizes(layer)
        if _takes_inner(name):
            return InputPart(inputs)
        return OutputPart(outputs, outputs // 3 if _FUSED.search(name) else 0)


def _takes_inner(name: str) -> bool:
    return bool(_LAST_OF_FEEDFORWARD.search(name)) and not found.ATTENTION.search(name)


def _scales_outputs(name: str, layer: nn.Module) -> bool:
    """Return whether a layer of attention gives keys or values."""
    if found.is_fused_attention(layer):
        return True
    given = _FUSED.search(name) or _KEYS_AND_VALUES.search(name)
    return found.is_linear(layer) and bool(given)


class OutputPart(Part):
    """A vector that a layer's outputs are multiplied by.

    Args:
        outputs: How many there are.
        first: How many at the beginning stay as they are: queries.
    """

    def __init__(self, outputs: int, first: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(outputs - first))
        self.first = first

    def whole(self) -> torch.Tensor:
        """Return (outputs,) the vector, with ones for what stays."""
        return nn.functional.pad(self.scale, (self.first, 0), value=1.0)

    def attach(self, layer: nn.Module, caller: nn.Module) -> None:
        """Multiply what the layer puts out."""
        layer.register_forward_hook(_scale_outputs)

    def merge(self, layer: nn.Module) -> None:
        """Multiply the rows of the layer's weight, and its bias."""
        whole, weight = self.whole(), layer.get_parameter("weight")
        rows = 1 if found.is_turned_linear(layer) else 0
        weight.mul_(_along(whole, rows, weight.ndim))
        bias = layer._parameters.get("bias")
        if bias is not None:
            bias.mul_(whole)


def _along(vector: torch.Tensor, axis: int, dimensions: int) -> torch.Tensor:
    return vector.view([-1 if side == axis % dimensions else 1 for side in range(dimensions)])


def _scale_outputs(layer: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    part = layer.ia3
    assert isinstance(part, OutputPart)
    # The channels of a convolution stand before the sides that its kernel has.
    sides = layer.get_parameter("weight").ndim - 2
    return output * _along(part.whole(), output.ndim - 1 - sides, output.ndim)


class InputPart(Part):
    """A vector that a linear layer's inputs are multiplied by."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(inputs))

    def attach(self, layer: nn.Module, caller: nn.Module) -> None:
        """Multiply what enters the layer."""
        layer.register_forward_pre_hook(_scale_inputs)

    def merge(self, layer: nn.Module) -> None:
        """Multiply the columns of the layer's weight."""
        columns = 0 if found.is_turned_linear(layer) else 1
        layer.get_parameter("weight").mul_(_along(self.scale, columns, 2))


def _scale_inputs(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    part = layer.ia3
    assert isinstance(part, InputPart)
    return (inputs[0] * part.scale, *inputs[1:])


class FusedPart(ReplacingPart):
    """A vector for the keys and values of PyTorch's attention, which reads its weights itself."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(rows - rows // 3))

    def in_place_of(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        """Return the fused weight and bias, the last two thirds of their rows multiplied."""
        whole = nn.functional.pad(self.scale, (len(self.scale) // 2, 0), value=1.0)
        weight, bias = layer._parameters["in_proj_weight"], layer._parameters["in_proj_bias"]
        assert weight is not None
        replaced = {"in_proj_weight": weight * whole[:, None]}
        return replaced if bias is None else replaced | {"in_proj_bias": bias * whole}
