"""LoRA: low-rank adaptation (Hu et al. 2022, ICLR)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.errors import FedlabError
from fedlab.models.adapters import layers as found
from fedlab.models.adapters.contract import Adapter, Part, Product
from fedlab.models.adapters.replaced import ReplacingPart
from fedlab.models.adapters.settings import AdapterSettings
from fedlab.registry import adapters


class LoraSettings(AdapterSettings):
    """Keys of ``[model.adapter]``."""

    rank: int = Field(
        8,
        ge=1,
        le=4096,
        description="r, rows of A and columns of B; a weight of fewer than 2r rows or columns (a "
        "depth-wise convolution's has nine) gets half as many",
    )
    alpha: float = Field(16.0, gt=0, description="α: the product is multiplied by α / r")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout rate of what enters A; for linear layers"
    )
    freeze_a: bool = Field(
        False,
        description="A stays as it was drawn, and only B is trained and travels: FFA-LoRA (Sun et "
        "al. 2024), whose mean over clients is exact",
    )
    base_travels: bool = Field(
        False,
        description="the weights under the adapter travel to the clients (not back), for "
        "strategies 'fedex-lora' and 'flora', which add to them",
    )


@adapters.register("lora")
class Lora(Adapter):
    """LoRA: a low-rank product is added to each adapted weight (Hu et al. 2022, ICLR).

    Equation 3, of a frozen weight W (d × k), with B (d × r) and A (r × k) trained:

        h = W x + α/r · B A x

    A is drawn from N(0, 1/k) and B is zero, so that the network starts as the pretrained one. Of a
    convolution, d are its output channels and k all else: B A has the shape of its kernels. A fused
    weight of queries, keys and values is one weight, and so are the gates' of a recurrent layer:
    its matrices W_ih and W_hh have a product each.
    """

    Settings: ClassVar[type[AdapterSettings]] = LoraSettings
    part: ClassVar[str] = "lora"
    settings: LoraSettings

    def usual_targets(self, layers: dict[str, nn.Module]) -> list[str]:
        """Return recurrent layers; without any attention, all convolutions, or linear layers."""
        return (
            found.recurrent(layers)
            or found.in_attention(layers)
            or found.convolutions(layers)
            or found.linear(layers)
        )

    def part_for(self, name: str, layer: nn.Module, caller: nn.Module) -> Part | None:
        """Return the two factors for a layer that has one weight.

        Raises:
            FedlabError: If its input cannot be dropped and should be.
        """
        settings = self.settings
        scale = settings.alpha / settings.rank
        if found.is_linear(layer) and caller is layer:
            return LinearPart(*found.sizes(layer), settings.rank, scale, settings.dropout)
        weights = _weight_names(layer)
        if not weights:
            return None
        if settings.dropout:
            raise FedlabError(
                f"model.adapter.dropout: '{name}' ({type(layer).__name__}) is adapted in its "
                "weights, and what enters it cannot be dropped; set 0, or name linear layers in "
                "model.adapter.targets"
            )
        shapes = {weight: tuple(getattr(layer, weight).shape) for weight in weights}
        if isinstance(layer, nn.RNNBase):
            return RecurrentPart(shapes, settings.rank, scale)
        return WeightPart(weights[0], shapes[weights[0]], settings.rank, scale)

    def frozen(self, part: Part) -> Iterator[str]:
        """Yield each A, where it stays as it was drawn."""
        if self.settings.freeze_a:
            yield from (n for n, _ in part.named_parameters() if n.rpartition(".")[2] == "A")

    def products(self, layer: str, part: Part) -> Iterator[Product]:
        """Yield the product, of a recurrent layer one for each of its matrices."""
        own = f"{layer}.{self.part}"
        if isinstance(part, RecurrentPart):
            for weight in part.factors:
                at = f"{own}.factors.{weight}"
                yield Product(f"{layer}.{weight}", f"{at}.A", f"{at}.B", part.scale)
            return
        assert isinstance(part, LinearPart | WeightPart)
        yield Product(
            f"{layer}.{part.weight}", f"{own}.A", f"{own}.B", part.scale, part.is_transposed
        )

    @property
    def moves_weights(self) -> bool:
        """Return whether the weights under the adapter travel."""
        return self.settings.base_travels


def _weight_names(layer: nn.Module) -> list[str]:
    if found.is_fused_attention(layer):
        return ["in_proj_weight"]
    if isinstance(layer, nn.RNNBase):
        return [name for name, weight in layer.named_parameters() if weight.ndim == 2]
    # The last one is the projection of PyTorch's attention.
    kinds = (*found.CONVOLUTIONS, nn.Linear)
    return ["weight"] if isinstance(layer, kinds) else []


def _factors(rows: int, columns: int, rank: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Return A (r, columns) from N(0, 1/columns), and B (rows, r) of zeros."""
    fitting = min(rank, max(1, min(rows, columns) // 2))
    drawn = torch.randn(fitting, columns) / math.sqrt(columns)
    return nn.Parameter(drawn), nn.Parameter(torch.zeros(rows, fitting))


class LinearPart(Part):
    """α/r · B A x, added to what a linear layer puts out."""

    weight = "weight"

    def __init__(self, inputs: int, outputs: int, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.A, self.B = _factors(outputs, inputs, rank)
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.is_transposed = False

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (..., outputs) for (..., inputs)."""
        low = nn.functional.linear(self.dropout(inputs), self.A)
        return self.scale * nn.functional.linear(low, self.B)

    def attach(self, layer: nn.Module, caller: nn.Module) -> None:
        """Add to what the layer puts out."""
        self.is_transposed = found.is_turned_linear(layer)
        layer.register_forward_hook(_add)

    @torch.no_grad()
    def merge(self, layer: nn.Module) -> None:
        """Add the product to the layer's weight."""
        product = self.scale * (self.B @ self.A)
        layer.weight.add_(product.t() if self.is_transposed else product)  # type: ignore[operator]


def _add(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> Any:
    return output + layer.lora(inputs[0])  # type: ignore[operator]


class WeightPart(ReplacingPart):
    """W + α/r · B A, in the place of a layer's weight.

    Args:
        weight: The weight's name in the layer.
        shape: Its shape, of which the first side is d.
        rank: r at most.
        scale: α/r.
    """

    is_transposed = False

    def __init__(self, weight: str, shape: tuple[int, ...], rank: int, scale: float) -> None:
        super().__init__()
        self.A, self.B = _factors(shape[0], math.prod(shape[1:]), rank)
        self.weight = weight
        self.scale = scale

    def in_place_of(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        """Return the weight with the product added."""
        own: torch.Tensor = layer._parameters[self.weight]  # type: ignore[assignment]
        return {self.weight: own + self.scale * (self.B @ self.A).reshape(own.shape)}


class RecurrentPart(ReplacingPart):
    """W + α/r · B A, in the place of each matrix of a recurrent layer.

    The gates' blocks of rows are one matrix, (4 · hidden, inputs) of an LSTM.

    Args:
        shapes: The matrices' shapes, by their names in the layer.
        rank: r at most.
        scale: α/r.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], rank: int, scale: float) -> None:
        super().__init__()
        self.factors = nn.ModuleDict(
            {name: Factors(rows, columns, rank) for name, (rows, columns) in shapes.items()}
        )
        self.scale = scale

    def in_place_of(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        """Return the matrices with their products added."""
        return {
            name: layer._parameters[name] + self.scale * (own.B @ own.A)  # type: ignore[operator]
            for name, own in self.factors.items()
        }


class Factors(nn.Module):
    """The two factors of a product: A (rank, columns) and B (rows, rank)."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.A, self.B = _factors(rows, columns, rank)
