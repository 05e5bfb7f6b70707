"""Activation checkpointing: what blocks of a network compute is not kept, but computed again.

Chen, Xu, Zhang and Guestrin 2016, "Training Deep Nets with Sublinear Memory Cost" (arXiv): between
the forward and the backward pass only the inputs of blocks are kept, and each block computes once
more what its backward pass needs. The bits are the same: dropout draws the same numbers again, and
running statistics count a batch once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import fx, nn

from fedlab.errors import FedlabError
from fedlab.models.network import Network
from fedlab.models.selection import BatchNorm


def checkpoint_blocks(network: Network) -> None:
    """Let the blocks of a network compute again, in each backward pass, what they computed before.

    Args:
        network: The network, on its device; a network without blocks stays as it is.
    """
    for name, block in blocks_of(network):
        block.forward = _checkpointed(name, block, network.model.device)


def blocks_of(network: Network) -> list[tuple[str, nn.Module]]:
    """Return the blocks of a network by name: its stages, or the blocks that they are a row of.

    Args:
        network: The network.
    """
    found: list[tuple[str, nn.Module]] = []
    for stage in network.stages:
        module = network.model.module.get_submodule(stage)
        children = list(module.named_children())
        is_row = isinstance(module, nn.Sequential) and all(_is_block(c) for _, c in children)
        found += [(f"{stage}.{n}", c) for n, c in children] if is_row else [(stage, module)]
    return found


def _is_block(module: nn.Module) -> bool:
    """Return whether a module has layers of its own; a lone layer may change its input in place."""
    return any(True for _ in module.children())


def _checkpointed(name: str, block: nn.Module, device: torch.device) -> Callable[..., Any]:
    # torch's module takes time to import, and few runs need it.
    from torch.utils.checkpoint import checkpoint

    plain: Callable[..., Any] = block.forward
    norms = [module for module in block.modules() if isinstance(module, BatchNorm)]

    @functools.wraps(plain)
    def forward(*inputs: Any, **keys: Any) -> Any:
        given = [*inputs, *keys.values()]
        if not torch.is_grad_enabled() or any(isinstance(value, fx.Proxy) for value in given):
            return plain(*inputs, **keys)
        versions = [value._version for value in given if isinstance(value, torch.Tensor)]
        outputs = checkpoint(
            plain,
            *inputs,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: _contexts(norms, device),
            **keys,
        )
        if versions != [value._version for value in given if isinstance(value, torch.Tensor)]:
            raise FedlabError(
                f"engine.checkpointing: block '{name}' of this model changes its inputs, of which "
                "it cannot be computed again; leave the key out"
            )
        return outputs

    return forward


def _contexts(
    norms: Sequence[nn.Module], device: torch.device
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return what stands around a block's first computation and around its second.

    Args:
        norms: Its batch norms.
        device: Where it is.
    """
    first: list[torch.Tensor] = []

    @contextmanager
    def noting() -> Iterator[None]:
        first[:] = _random_states(device)
        yield

    @contextmanager
    def repeating() -> Iterator[None]:
        before = _random_states(device)
        statistics = [dict(norm._buffers) for norm in norms]
        _set_random_states(first, device)
        for norm in norms:
            # What the second computation adds to running statistics is thrown away.
            copies = {n: None if b is None else b.clone() for n, b in norm._buffers.items()}
            norm._buffers.update(copies)
        try:
            yield
        finally:
            _set_random_states(before, device)
            for norm, kept in zip(norms, statistics, strict=True):
                norm._buffers.update(kept)

    return noting(), repeating()


def _random_states(device: torch.device) -> list[torch.Tensor]:
    """Return the states of the generators that a block on a device draws from."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state(device))
    return states


def _set_random_states(states: Sequence[torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[1], device)
