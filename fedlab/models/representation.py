"""Representations: the inputs of a network's head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from fedlab.errors import FedlabError
from fedlab.models.network import Network


def represented(
    network: Network, inputs: torch.Tensor, wire: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a network's outputs, and the inputs of its head.

    Args:
        network: The network, whose mode (training, evaluation) stays as it is.
        inputs: (B, ...) prepared inputs.
        wire: (wire_size,) weights to use instead of those that travel; None uses the network's.

    Returns:
        The outputs (B, ...), and the inputs of the head (B, ..., features).

    Raises:
        FedlabError: If the network does not call its head.
    """
    with entering_head(network) as entered:
        weights = None if wire is None else network.model.layout.wire_views(wire)
        outputs = network.model.call(inputs, weights)
    if not entered:
        raise FedlabError(f"model.name: nothing enters the head '{network.head}' of this model")
    return outputs, entered[0]


@contextmanager
def entering_head(network: Network) -> Iterator[list[torch.Tensor]]:
    """Yield a list that holds the inputs of the head after each forward pass in the block.

    They are float32, whatever the network computes in.
    """
    entered: list[torch.Tensor] = []

    def note(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        entered[:] = [values.float() for values in inputs[:1]]

    handle = network.model.module.get_submodule(network.head).register_forward_pre_hook(note)
    try:
        with network.model.as_written():
            yield entered
    finally:
        handle.remove()
