"""Copies between main memory and a device.

From and to memory that is pinned, which the system does not move, a CUDA card copies by itself and
several times as fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

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


def moved_ahead(tensors: Iterable[torch.Tensor], device: torch.device) -> Iterator[torch.Tensor]:
    """Yield tensors on a device, the copy of each begun before the one before it is worked on.

    A CUDA card copies the next one beside what it computes on the present one.
    """
    beside = _Beside(device) if device.type == PINNED else None
    before: torch.Tensor | None = None
    for tensor in tensors:
        begun = tensor.to(device) if beside is None else beside.begun(tensor)
        if before is not None:
            yield before if beside is None else beside.arrived(before)
        before = begun
    if before is not None:
        yield before if beside is None else beside.arrived(before)


class _Beside:
    """Copies in a stream of their own, beside the one in which a card computes."""

    def __init__(self, device: torch.device) -> None:
        import torch

        self._cuda: Any = torch.cuda
        self._device = device
        self._stream = self._cuda.Stream(device)
        self._done: dict[int, Any] = {}

    def begun(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor's copy, which is under way."""
        with self._cuda.stream(self._stream):
            copy = to_device(tensor, self._device)
            self._done[id(copy)] = self._stream.record_event()
        return copy

    def arrived(self, copy: torch.Tensor) -> torch.Tensor:
        """Return a copy, on which the card computes once it is whole."""
        computing = self._cuda.current_stream(self._device)
        computing.wait_event(self._done.pop(id(copy)))
        # Its memory is not given to the next copy before the card is done with it.
        copy.record_stream(computing)
        return copy


@lru_cache
def has_double_precision(device: torch.device) -> bool:
    """Return whether a device computes in double precision, which Apple's does not."""
    import torch

    try:
        return bool(torch.zeros(1, dtype=torch.float64, device=device).add(1).item() == 1)
    except (RuntimeError, TypeError):
        return False
