"""Calling a processor by itself, as a client and the server call it."""

from typing import Any

import torch
from torch import nn

from fedlab import registry
from fedlab.algorithm.processing import Payload, Received, UpdateProcessor
from fedlab.models.layout import Layout
from fedlab.training.task import Arrays


def small_layout() -> Layout:
    """Return that of a convolution, a matrix with batch norm, and their biases: 234 parameters."""
    module = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(10, 9))
    module.to(memory_format=torch.channels_last)
    return Layout.of(module, ["1.running_mean", "1.running_var"])


def tensors(layout: Layout, update: torch.Tensor) -> Arrays:
    """Return the tensors of an update by name, views into it."""
    return {e.name: e.view(update) for e in layout.entries if e.start < layout.wire_parameters}


def processor(name: str, layout: Layout | None = None, **keys: Any) -> UpdateProcessor:
    found: Any = registry.updates.get(name)
    made: UpdateProcessor = found(found.Settings(name=name, **keys))
    made.begin(layout or small_layout())
    return made


def received(size: int, kept: Arrays | None = None, **values: Any) -> Received:
    return Received(torch.zeros(size), 1, {}, values, kept or {})


def encoded(
    own: UpdateProcessor, update: torch.Tensor, kept: Arrays | None = None, seed: int = 1, **v: Any
) -> Payload:
    draw = torch.Generator().manual_seed(seed)
    return own.encode(update, received(len(update), kept, **v), draw)


def arrived(own: UpdateProcessor, payload: Payload, **values: Any) -> torch.Tensor:
    return own.decode(Payload(payload.values, payload.along), received(0, **values))


def travelled(payload: Payload) -> int:
    """Return the bytes of a payload."""
    return payload.values.nbytes + sum(tensor.nbytes for tensor in payload.along.values())
