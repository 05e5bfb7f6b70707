"""Fake quantisation: a network computes with rounded weights, and learns the ones behind them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from fedlab.models.network import Network
from fedlab.models.quantisation import (
    is_matrix,
    rounded,
    rounded_activations,
    straight_through,
)


@contextmanager
def fake_quantisation(network: Network, bits: int, activation_bits: int | None) -> Iterator[None]:
    """Let a network compute with quantised weights inside the block, and learn its float ones.

    Args:
        network: The network.
        bits: Of its matrices that are trained.
        activation_bits: Of what enters its linear layers, by the range of each batch; None: as is.
    """
    model, before = network.model, network.model.compiled

    def call(inputs: torch.Tensor) -> torch.Tensor:
        weights = {
            name: straight_through(own, rounded(own.detach(), bits))
            for name, own in model.body.named_parameters()
            if own.requires_grad and is_matrix(own)
        }
        outputs: torch.Tensor = torch.func.functional_call(model.body, weights, (inputs,))
        return outputs

    def enter(module: nn.Module, inputs: Any) -> Any:
        return (rounded_activations(inputs[0], int(activation_bits or 0)), *inputs[1:])

    with ExitStack() as hooks:
        for module in model.body.modules():
            if activation_bits is not None and isinstance(module, nn.Linear):
                hooks.callback(module.register_forward_pre_hook(enter).remove)
        model.compiled = call
        try:
            yield
        finally:
            model.compiled = before


@torch.no_grad()
def quantise(network: Network, bits: int) -> None:
    """Round a network's trained matrices to their levels, in place."""
    for parameter in network.model.module.parameters():
        if parameter.requires_grad and is_matrix(parameter):
            parameter.copy_(rounded(parameter, bits))
