"""Removing whole units of hidden layers: channels of convolutions, units of dense layers.

What is left is a network of its own, which is smaller and faster wherever it runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings

State = dict[str, torch.Tensor]
EPSILON = 1e-5
"""What PyTorch's batch norm adds to a variance."""


def without_units(
    state: Mapping[str, torch.Tensor], settings: ModelSettings, head: str, fraction: float
) -> tuple[ModelSettings, State]:
    """Return a model without the least important units of each hidden layer, and its weights.

    A unit's importance is the L1 norm of its weights (Li et al. 2017, "Pruning filters for
    efficient ConvNets", ICLR, section 3.1), of a layer with batch norm as that scales them. Of a
    layer of K units ⌈(1 − fraction) K⌉ stay, in their order.

    Args:
        state: The whole model's weights.
        settings: Its keys of ``[model]``.
        head: What the names of its last layer begin with.
        fraction: How many units of each layer go, from 0 to below 1.

    Where a layer adds up its input and its output, what is left fits no such model.

    Raises:
        FedlabError: If its layers have sizes that cannot be chosen.
    """
    if not settings.sizes:
        raise FedlabError(
            f"--prune-channels: the sizes of the layers of '{settings.name}' cannot be chosen; it "
            "goes with cnn, mlp and the like"
        )
    layers = _layers(state, head)
    kept = [_most_important(state, own, fraction) for own in layers]
    of = {name: number for number, own in enumerate(layers) for name in own}
    found: State = {}
    for name, tensor in state.items():
        is_head = name == head or name.startswith(f"{head}.")
        number = len(layers) if is_head else of[name]
        below = kept[number - 1] if number else None
        found[name] = _cut(tensor, None if is_head else kept[number], below, layers, state, number)
    return settings.with_sizes([len(own) for own in kept]), found


def _layers(state: Mapping[str, torch.Tensor], head: str) -> list[list[str]]:
    """Return the names of each hidden layer's tensors, its matrix first."""
    layers: list[list[str]] = []
    for name, tensor in state.items():
        if name == head or name.startswith(f"{head}."):
            continue
        if tensor.ndim > 1 and ".shortcut." not in name:
            layers.append([])
        layers[-1].append(name)
    return layers


def _most_important(
    state: Mapping[str, torch.Tensor], layer: list[str], fraction: float
) -> torch.Tensor:
    """Return the numbers of the units of a layer that stay, ascending."""
    matrix = state[layer[0]]
    norms = matrix.abs().flatten(1).sum(1)
    own = {name.rpartition(".")[2]: state[name] for name in layer[1:] if ".shortcut." not in name}
    if "running_var" in own:
        norms = norms * own["weight"].abs() / (own["running_var"] + EPSILON).sqrt()
    count = max(1, math.ceil((1 - fraction) * len(norms) - 1e-9))
    return norms.argsort(descending=True, stable=True)[:count].sort().values


def _cut(
    tensor: torch.Tensor,
    units: torch.Tensor | None,
    below: torch.Tensor | None,
    layers: list[list[str]],
    state: Mapping[str, torch.Tensor],
    number: int,
) -> torch.Tensor:
    """Return what stays of a tensor of layer ``number``.

    Args:
        tensor: It.
        units: Which of the layer's own units stay; None: all.
        below: Which units of the layer below stay; None: all.
        layers: The names of all hidden layers' tensors.
        state: The whole model's weights.
        number: The layer's.
    """
    if units is not None and tensor.ndim:
        tensor = tensor[units]
    if below is not None and tensor.ndim > 1:
        # A dense layer after a flattening has several inputs for each channel below.
        each = tensor.shape[1] // len(state[layers[number - 1][0]])
        places = (below.unsqueeze(1) * each + torch.arange(each)).flatten()
        tensor = tensor[:, places]
    return tensor.contiguous()
