"""Every random draw comes from a generator seeded by (seed, purpose, round, client).

Libraries that draw from global state (dropout layers, Flower's client sampling, noise in Flower's
privacy strategies) run inside :func:`scope`, which seeds the global generators for the length of a
``with`` block and puts them back afterwards.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that depends on ``seed`` and every word of ``purpose``."""
    text = "\x1f".join(str(word) for word in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a NumPy generator for this purpose."""
    return np.random.default_rng(derive(seed, *purpose))


def torch_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU torch generator for this purpose."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))


_devices: list[torch.device] = []
"""Those beside the CPU that this process works on, whose generators :func:`scope` seeds, too."""


def seed_also(device: torch.device) -> None:
    """Let :func:`scope` seed this device's generator, too, from which its dropout layers draw."""
    if device.type != "cpu" and device not in _devices:
        _devices.append(device)


def _reseeded(device: torch.device, seed: int) -> torch.Tensor:
    """Seed a device's generator; return the state that it had before."""
    import torch

    module: Any = torch.get_device_module(device)
    before: torch.Tensor = module.get_rng_state(device)
    with torch.accelerator.device_index(device.index):
        module.manual_seed(seed)
    return before


@contextmanager
def scope(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch inside the block, then restore them."""
    import torch

    derived = derive(seed, *purpose)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    torch_state = torch.get_rng_state()
    random.seed(derived)
    np.random.seed(derived % 2**32)
    # torch.manual_seed would note a stack trace for every device that is not in use.
    torch.default_generator.manual_seed(derived)
    states = [_reseeded(device, derived) for device in _devices]
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        for device, state in zip(_devices, states, strict=True):
            torch.get_device_module(device).set_rng_state(state, device)
