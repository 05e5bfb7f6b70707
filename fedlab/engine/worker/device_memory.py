"""What a process takes of its device's memory, and what is left there."""

from __future__ import annotations

from typing import Any

import torch

CONTEXT_BYTES = {"cuda": 600 << 20}
"""What a process takes of a device beside its tensors: its kernels and their state."""


def says_what_is_free(device: torch.device) -> bool:
    """Return whether a device says how much memory is free, and a process what it took."""
    module: Any = torch.get_device_module(device)
    return hasattr(module, "mem_get_info") and hasattr(module, "max_memory_allocated")


def taken_and_free(device: torch.device) -> tuple[int, int]:
    """Return the most bytes that this process has taken so far, and those that are free now."""
    module: Any = torch.get_device_module(device)
    # What is held back for later tensors is taken, too.
    peak = getattr(module, "max_memory_reserved", module.max_memory_allocated)
    taken = int(peak(device)) + CONTEXT_BYTES.get(device.type, 0)
    return taken, int(module.mem_get_info(device)[0])
