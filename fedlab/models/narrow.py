"""Narrower models: some of the units of each hidden layer, and the weights between them.

A narrower model has the tensors of the whole one under the same names, with fewer entries along the
dimensions that count hidden units. Which entries these are, a window over units says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field

from fedlab.errors import FedlabError
from fedlab.models.layout import Layout
from fedlab.models.settings import ModelSettings

Width = Annotated[float, Field(gt=0, le=1)]
"""Of a model: which part it has of the units of each hidden layer."""


def narrowed(settings: ModelSettings, width: float) -> ModelSettings:
    """Return the settings of a model with ⌈width · K⌉ units in each hidden layer of K.

    Args:
        settings: Keys of ``[model]``.
        width: Above 0, at most 1.

    Raises:
        FedlabError: If the model's layers have sizes that cannot be chosen.
    """
    if not settings.sizes:
        raise FedlabError(
            f"model.name: clients have narrower models, and the sizes of the layers of "
            f"'{settings.name}' cannot be chosen; take cnn or mlp, with hidden layers"
        )
    return settings.with_sizes([math.ceil(width * size) for size in settings.sizes])


def places(whole: Layout, narrow: Layout, shift: int = 0) -> torch.Tensor:
    """Return where the values that travel of a narrower model stand among those of the whole one.

    Of a layer of K units a narrower one of k has the units (shift + i) mod K for i < k: with
    shift = 0 the first ones.

    Args:
        whole: Of the whole model.
        narrow: Of the narrower one; its tensors have the same names.
        shift: Where the window over each layer's units begins.

    Returns:
        (narrow.wire_size,) int64 positions in a wire vector of the whole model.

    Raises:
        FedlabError: If the narrower model has other tensors.
    """
    numbers = whole.wire_views(torch.arange(whole.wire_size))
    found = torch.empty(narrow.wire_size, dtype=torch.int64)
    views = narrow.wire_views(found)
    other = sorted(numbers.keys() ^ views.keys())
    if other:
        raise FedlabError(
            f"client.widths: a narrower model and the whole one differ by more than sizes: "
            f"'{other[0]}' is in one alone, as where the channels of a residual layer come to be "
            "those of its input; take other widths or channels"
        )
    shapes = [(name, tuple(numbers[name].shape), tuple(view.shape)) for name, view in views.items()]
    for name, indices in _indices(shapes, shift):
        taken = numbers[name]
        for dimension, index in enumerate(indices):
            taken = taken.index_select(dimension, index)
        views[name].copy_(taken)
    return found


Shape = tuple[int, ...]


def _indices(
    shapes: list[tuple[str, Shape, Shape]], shift: int
) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """Yield each tensor's indices along its dimensions, in the order of the layers.

    A dense layer after a flattening has several inputs, next to each other, for each unit below.
    """
    below = (1, 1)
    for name, whole, narrow in shapes:
        indices = []
        for dimension, (size, own) in enumerate(zip(whole, narrow, strict=True)):
            each = 1
            if dimension == 1 and size != own and len(whole) == 2 and size % below[0] == 0:
                each = size // below[0]
                if own != each * below[1]:
                    each = 1
            indices.append(_window(size, own, shift, each))
        yield name, indices
        if len(whole) > 1:
            below = (whole[0], narrow[0])


def _window(size: int, own: int, shift: int, each: int) -> torch.Tensor:
    """Return which of ``size`` entries a narrower tensor has, ``each`` of them for every unit."""
    if size == own:
        return torch.arange(size)
    units = (shift + torch.arange(own // each)) % (size // each)
    return (units.unsqueeze(1) * each + torch.arange(each)).flatten()
