"""What every adapter offers: which layers it is made for, and the part that it adds to one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from fedlab.models.adapters.settings import AdapterSettings


@dataclass(frozen=True)
class Product:
    """A weight and the product of two factors that is added to it, by their parameters' names.

    The weight in use is W + scale · B A.

    Attributes:
        weight: W, of any shape; B A has as many values.
        a, b: A (rank, k) and B (d, rank).
        scale: What the product is multiplied by.
        transposed: Whether W is stored as (k, d).
    """

    weight: str
    a: str
    b: str
    scale: float
    transposed: bool = False

    def placed(self, product: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """Return scale · (d, k) a product, as it is added to a weight of ``shape``."""
        turned = product.t() if self.transposed else product
        return self.scale * turned.reshape(shape)


class Part(nn.Module):
    """What an adapter adds to one layer: a child module of that layer, which keeps its names.

    A part works by hooks on the layer, so that the layer stays what it is to the code that calls
    it, and its own weights keep their names.
    """

    @abstractmethod
    def attach(self, layer: nn.Module, caller: nn.Module) -> None:
        """Add the part to a layer.

        Args:
            layer: The layer that is adapted.
            caller: What is called: the layer, or the module around it that reads its weights.
        """

    def merge(self, layer: nn.Module) -> None:
        """Change the layer's weights so that without the part it computes what it did with it."""
        raise NotImplementedError


class Adapter(ABC):
    """What a scenario names in ``[model.adapter]``.

    Attributes:
        settings: Its keys.
        part: The name of the child module that a layer gets.
        merges: Whether what it adds can become part of the layer's own weights.
    """

    Settings: ClassVar[type[AdapterSettings]] = AdapterSettings
    part: ClassVar[str]
    merges: ClassVar[bool] = True

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def usual_targets(self, layers: dict[str, nn.Module]) -> list[str]:
        """Return the names of the layers that get a part where the scenario names none.

        Args:
            layers: All modules below the head, by name.
        """

    @abstractmethod
    def part_for(self, name: str, layer: nn.Module, caller: nn.Module) -> Part | None:
        """Return a new part for a layer, its weights drawn from torch's global generator.

        None stands for a layer that the adapter is not made for.

        Args:
            name: The layer's name.
            layer: The layer.
            caller: What is called; see :meth:`Part.attach`.
        """

    def frozen(self, part: Part) -> Iterator[str]:
        """Yield the names, in a part, of its parameters that are never trained."""
        yield from ()

    def products(self, layer: str, part: Part) -> Iterator[Product]:
        """Yield the low-rank products that a part adds to a layer's weights."""
        yield from ()

    @property
    def moves_weights(self) -> bool:
        """Return whether the server may change the weights that products are added to."""
        return False
