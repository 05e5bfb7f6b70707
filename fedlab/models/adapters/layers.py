"""Layers as adapters see them: which there are, and what reads their weights."""

from __future__ import annotations

import re

from torch import nn

ATTENTION = re.compile(r"att(ention|n)", re.IGNORECASE)
"""In the path of a layer that belongs to attention, as timm, torchvision and transformers have it.
"""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def is_turned_linear(layer: nn.Module) -> bool:
    """Return whether a layer is GPT-2's: linear, with its weight stored as (inputs, outputs)."""
    kind = type(layer)
    return kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.")


def is_linear(layer: nn.Module) -> bool:
    """Return whether a layer is linear and is called as one."""
    return isinstance(layer, nn.Linear) or is_turned_linear(layer)


def is_fused_attention(layer: nn.Module) -> bool:
    """Return whether a layer is PyTorch's attention, with queries, keys and values in one weight.

    It reads its weights, and those of its projection, by itself.
    """
    return isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None


def caller_of(layers: dict[str, nn.Module], name: str) -> nn.Module:
    """Return what is called where a layer computes: itself, or the attention that it belongs to."""
    around = layers.get(name.rpartition(".")[0])
    return around if isinstance(around, nn.MultiheadAttention) else layers[name]


def sizes(layer: nn.Module) -> tuple[int, int]:
    """Return how many inputs and outputs a linear layer has."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    inputs, outputs = layer._parameters["weight"].shape  # type: ignore[union-attr]
    return inputs, outputs


def in_attention(layers: dict[str, nn.Module]) -> list[str]:
    """Return the layers of attention that have weights: linear ones, and PyTorch's fused ones."""
    return [
        name
        for name, layer in layers.items()
        if is_fused_attention(layer) or (is_linear(layer) and ATTENTION.search(name))
    ]


def convolutions(layers: dict[str, nn.Module]) -> list[str]:
    """Return the convolutions."""
    return [name for name, layer in layers.items() if isinstance(layer, CONVOLUTIONS)]


def recurrent(layers: dict[str, nn.Module]) -> list[str]:
    """Return the recurrent layers: PyTorch's RNN, LSTM and GRU."""
    return [name for name, layer in layers.items() if isinstance(layer, nn.RNNBase)]


def linear(layers: dict[str, nn.Module]) -> list[str]:
    """Return the linear layers."""
    return [name for name, layer in layers.items() if is_linear(layer)]
