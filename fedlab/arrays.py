"""Tensors over memory that other processes share, and nobody writes to."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch


def in_shared_memory(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """Return a tensor over read-only shared memory; nothing in fedlab writes to its data."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
