"""Putting an adapter into a network, and making it part of the network's own weights."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fedlab.errors import FedlabError
from fedlab.models.adapters.contract import Adapter, Part, Product
from fedlab.models.adapters.layers import caller_of
from fedlab.models.adapters.settings import AdapterSettings
from fedlab.registry import adapters

KEY = "model.adapter"


@dataclass(frozen=True)
class Adapted:
    """What an adapter is in a network.

    Attributes:
        adapter: The adapter.
        layers: The names of the layers that have a part of it.
        parameters: The names of its parameters.
        frozen: Those among them that are never trained.
        moved: The frozen weights that the server may change between rounds.
        products: The low-rank products that it adds to weights.
    """

    adapter: Adapter
    layers: tuple[str, ...]
    parameters: frozenset[str]
    frozen: frozenset[str]
    moved: frozenset[str]
    products: tuple[Product, ...]


def adapt(
    module: nn.Module, settings: AdapterSettings, head: str, stages: Sequence[str]
) -> Adapted:
    """Put an adapter into a network; its new weights come from torch's global generator.

    Args:
        module: The network, changed in place.
        settings: Keys of ``[model.adapter]``.
        head: Prefix of the head's names, which gets none.
        stages: Prefixes of the network's blocks from input to output, without the head.

    Raises:
        FedlabError: If the network has no layer for it, a pattern names none, or it has fewer
            stages than it is asked for.
    """
    adapter: Adapter = adapters.get(settings.name)(settings)
    below = {n: m for n, m in module.named_modules() if n and not n.startswith(head)}
    reached = _in_last(settings, below, stages)
    names = _named(settings, below) if settings.targets else adapter.usual_targets(below)
    names = [name for name in names if name in reached]
    parts: dict[str, Part] = {}
    for name in names:
        caller = caller_of(below, name)
        part = adapter.part_for(name, below[name], caller)
        if part is not None:
            below[name].add_module(adapter.part, part)
            part.attach(below[name], caller)
            parts[name] = part
    if not parts:
        raise FedlabError(_nothing(settings, below, reached))
    products = [product for n, part in parts.items() for product in adapter.products(n, part)]
    own = {n: f"{n}.{adapter.part}" for n in parts}
    return Adapted(
        adapter,
        tuple(parts),
        frozenset(f"{own[n]}.{p}" for n, part in parts.items() for p, _ in part.named_parameters()),
        frozenset(f"{own[n]}.{p}" for n, part in parts.items() for p in adapter.frozen(part)),
        frozenset(p.weight for p in products if adapter.moves_weights),
        tuple(products),
    )


def _in_last(
    settings: AdapterSettings, below: dict[str, nn.Module], stages: Sequence[str]
) -> set[str]:
    """Return the names of the modules in the stages that get an adapter.

    Raises:
        FedlabError: If there are fewer stages.
    """
    if settings.last is None:
        return set(below)
    if settings.last > len(stages):
        raise FedlabError(
            f"{KEY}.last: {settings.last} is more stages than the model has below its head "
            f"({len(stages)})"
        )
    wanted = stages[len(stages) - settings.last :]
    return {name for name in below if any(f"{name}.".startswith(f"{s}.") for s in wanted)}


def _named(settings: AdapterSettings, below: dict[str, nn.Module]) -> list[str]:
    """Return the layers that the scenario's patterns name.

    Raises:
        FedlabError: If one of them names none.
    """
    for pattern in settings.targets:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in below):
            held = [name for name, layer in below.items() if list(layer.parameters(False))]
            raise FedlabError(
                f"{KEY}.targets: no layer below the head is called '{pattern}'; the first ones "
                f"are {', '.join(held[:3])}"
            )
    return [n for n in below if any(fnmatch.fnmatchcase(n, p) for p in settings.targets)]


def _nothing(settings: AdapterSettings, below: dict[str, nn.Module], reached: set[str]) -> str:
    if not settings.targets and settings.last is None:
        return (
            f"{KEY}: this model has no layer that '{settings.name}' is made for below its head; "
            "leave the table out, or take another model"
        )
    named = [n for n in _named(settings, below) if n in reached] if settings.targets else []
    if not named:
        return (
            f"{KEY}.last: no layer that '{settings.name}' would be added to stands in the last "
            f"{settings.last} stages of this model; raise the number, or leave the key out"
        )
    kinds = sorted({type(below[name]).__name__ for name in named})
    return (
        f"{KEY}.targets: '{settings.name}' is not made for what these patterns name "
        f"({', '.join(kinds[:5])}); name linear layers, convolutions or blocks, as its keys say"
    )


@torch.no_grad()
def merged_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a network's state dict with its adapter as part of the layers' own weights.

    The names are those of the network without an adapter.
    """
    copied = copy.deepcopy(module)
    for layer, name, part in list(_parts(copied)):
        part.merge(layer)
        delattr(layer, name)
    return copied.state_dict()


def is_adapted(layer: nn.Module) -> bool:
    """Return whether a layer has a part of an adapter."""
    return any(isinstance(child, Part) for child in layer.children())


def _parts(module: nn.Module) -> Iterator[tuple[nn.Module, str, Part]]:
    for layer in module.modules():
        for name, part in layer.named_children():
            if isinstance(part, Part):
                yield layer, name, part
