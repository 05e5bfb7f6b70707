"""The activation functions that a scenario can name."""

from __future__ import annotations

from typing import Literal

from torch import nn

ActivationName = Literal["relu", "gelu", "tanh", "sigmoid", "none"]

_ACTIVATIONS: dict[ActivationName, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}

NEVER_FALLING: frozenset[ActivationName] = frozenset({"relu", "tanh", "sigmoid", "none"})
"""Those for which f(max x) = max f(x)."""


def make_activation(name: ActivationName) -> nn.Module:
    """Return a new layer that applies this activation function."""
    return _ACTIVATIONS[name]()
