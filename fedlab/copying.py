"""Copies between main memory and a device.

From and to memory that is pinned, which the system does not move, a CUDA card copies by itself and
several times as fast.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PINNED = "cuda"
"""The type of device that copies from pinned memory."""


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor on a device: itself where it is there.

    The copy may still be under way: what the device is given to do next waits for it, and torch
    keeps the pinned memory until it is done.
    """
    if device.type != PINNED or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in main memory, whole; itself where it is there."""
    if tensor.device.type != PINNED:
        return tensor.cpu()
    import torch

    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    copy.copy_(tensor, non_blocking=True)
    torch.accelerator.current_stream(tensor.device).synchronize()
    return copy


@lru_cache
def has_double_precision(device: torch.device) -> bool:
    """Return whether a device computes in double precision, which Apple's does not."""
    import torch

    try:
        return bool(torch.zeros(1, dtype=torch.float64, device=device).add(1).item() == 1)
    except (RuntimeError, TypeError):
        return False
