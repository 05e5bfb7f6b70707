"""The two models of McMahan et al. 2017 in plain PyTorch, for the peers that use it."""

from __future__ import annotations

from torch import nn


def build(name: str) -> nn.Sequential:
    """Return ``mcmahan-cnn`` or ``mcmahan-2nn``; both take pictures (N, 28, 28)."""
    if name == "mcmahan-cnn":
        return nn.Sequential(
            nn.Unflatten(1, (1, 28)),
            nn.Conv2d(1, 32, 5, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 512),
            nn.ReLU(),
            nn.Linear(512, 10),
        )
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 200),
        nn.ReLU(),
        nn.Linear(200, 200),
        nn.ReLU(),
        nn.Linear(200, 10),
    )
