"""A model's first weights as they travel, to machines that lack the files they are read from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from fedlab.arrays import in_shared_memory

Given = dict[str, np.ndarray[Any, Any]]
"""A module's tensors, by name."""


def given_of(module: nn.Module) -> Given:
    """Return a module's tensors, to travel."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def takes(module: nn.Module, given: Given) -> bool:
    """Return whether a module has tensors of these names, shapes and types."""
    own = {name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()}
    theirs = {name: (array.shape, array.dtype) for name, array in given.items()}
    return own.keys() == theirs.keys() and all(
        tuple(own[name][0]) == theirs[name][0]
        and torch.empty(0, dtype=own[name][1]).numpy().dtype == theirs[name][1]
        for name in own
    )


@torch.no_grad()
def give(module: nn.Module, given: Given) -> None:
    """Copy tensors that have travelled into a module that takes them."""
    module.load_state_dict({name: in_shared_memory(array) for name, array in given.items()})
