"""Weights that others stand for while a layer computes, where its inputs cannot be taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fedlab.models.adapters.contract import Part


class ReplacingPart(Part):
    """A part that puts other weights in the place of a layer's own while that is called."""

    def in_place_of(self, layer: nn.Module) -> dict[str, torch.Tensor]:
        """Return what a layer's weights are replaced by, by their names in the layer."""
        raise NotImplementedError

    def attach(self, layer: nn.Module, caller: nn.Module) -> None:
        """Replace the weights before each call, and put them back after it, whatever happens."""
        if _enter not in caller._forward_pre_hooks.values():
            caller.register_forward_pre_hook(_enter)
            caller.register_forward_hook(_leave, always_call=True)

    @torch.no_grad()
    def merge(self, layer: nn.Module) -> None:
        """Copy what stands for the layer's weights into them."""
        for name, weight in self.in_place_of(layer).items():
            getattr(layer, name).copy_(weight)


def _parts(caller: nn.Module) -> list[tuple[nn.Module, ReplacingPart]]:
    owners = (caller, *caller.children())
    return [(o, p) for o in owners for p in o.children() if isinstance(p, ReplacingPart)]


def _enter(caller: nn.Module, inputs: Any) -> None:
    for layer, part in _parts(caller):
        replaced = part.in_place_of(layer)
        if isinstance(layer, nn.RNNBase):
            # It reads its weights from a list.
            _read(layer, [replaced.get(name) for name in layer._flat_weights_names])
        else:
            # An attribute of the object is found before a parameter of that name.
            layer.__dict__.update(replaced)


def _leave(caller: nn.Module, inputs: Any, outputs: Any) -> None:
    for layer, _ in _parts(caller):
        for name in layer._parameters:
            layer.__dict__.pop(name, None)
        if isinstance(layer, nn.RNNBase):
            _read(layer, [None] * len(layer._flat_weights_names))


def _read(layer: nn.RNNBase, weights: Sequence[torch.Tensor | None]) -> None:
    """Let a recurrent layer read these weights, in the order of their names; None: its own."""
    names = layer._flat_weights_names
    layer._flat_weights = [
        getattr(layer, name) if weight is None else weight
        for name, weight in zip(names, weights, strict=True)
    ]
