"""Batches of one example, of which a normalisation over the batch has no variance.

torch refuses to normalise a single value in training. Batch norm has one value per channel where
the batch is one example and the layer's outputs are vectors, or pictures of one pixel; of a larger
picture it has a variance, also of one example.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from fedlab.data.federation import Federation
from fedlab.models.network import Network
from fedlab.models.selection import BatchNorm

MOST_CLIENTS = 100_000
"""Of a larger federation, so many are looked at."""


def objections(
    network: Network, example: torch.Tensor, views: int, batch_size: int, federation: Federation
) -> Iterator[str]:
    """Yield why clients could not train a network, as a layer of it would see a single value.

    Args:
        network: The network.
        example: (1, ...) a prepared input.
        views: How many views of an example a batch has.
        batch_size: ``client.batch_size``.
        federation: Who holds how many examples.
    """
    layer = layer_of_one_value(network, example)
    if layer is None:
        return
    name, module = layer
    kind = type(module).__name__
    if isinstance(module, _InstanceNorm):
        yield (
            f"model: {kind} '{name}' has one value per channel here, which has no variance; take "
            "larger pictures or fewer steps that shrink them"
        )
        return
    advice = "" if isinstance(module, nn.GroupNorm) else "model.batch_norm = 'frozen', or "
    if views > 1:
        return
    if batch_size == 1:
        yield (
            f"client.batch_size: a batch has one example, of which {_words(module)} ('{name}') has "
            f"no variance: set {advice}batches of 2 examples or more"
        )
        return
    lone = [c for c in range(min(len(federation), MOST_CLIENTS)) if _trains_on_one(federation, c)]
    if lone:
        more = f" ({len(lone) - 1:,} more clients as well)" if len(lone) > 1 else ""
        yield (
            f"data.partition: client {lone[0]} has one training example{more}, of which "
            f"{_words(module)} ('{name}') has no variance: set {advice}fewer clients"
        )
    if federation.root_examples == 1:
        yield (
            f"strategy.root_examples: the server has one, of which {_words(module)} ('{name}') has "
            f"no variance: set {advice}2 or more"
        )


def layer_of_one_value(network: Network, example: torch.Tensor) -> tuple[str, nn.Module] | None:
    """Return the first layer that would normalise a single value of a batch of one example.

    Args:
        network: The network; frozen batch norm is passed over.
        example: (1, ...) a prepared input.
    """
    module = network.model.module
    layers: dict[nn.Module, str] = {
        layer: name
        for name, layer in module.named_modules()
        if isinstance(layer, (*BatchNorm, _InstanceNorm, nn.GroupNorm))
        and layer not in network.frozen
    }
    if not layers:
        return None
    found: list[nn.Module] = []

    def look(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if _values(layer, inputs[0]) == 1:
            found.append(layer)

    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    network.evaluation_mode()
    try:
        with torch.no_grad():
            module(example)
    except ValueError:
        # Instance norm refuses a single value in evaluation mode, too.
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return (layers[found[0]], found[0]) if found else None


def _values(layer: nn.Module, inputs: torch.Tensor) -> int:
    """Return how many values of one example share a mean and a variance."""
    if isinstance(layer, nn.GroupNorm):
        return inputs[0].numel() // layer.num_groups
    channels = inputs.shape[1] if inputs.ndim > 1 else 1
    return inputs[0].numel() // channels


def _trains_on_one(federation: Federation, client: int) -> bool:
    return federation.part_sizes(client)[0] == 1


def _words(module: nn.Module) -> str:
    return "group norm" if isinstance(module, nn.GroupNorm) else "batch norm"
