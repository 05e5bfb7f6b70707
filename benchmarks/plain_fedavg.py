"""FedAvg in plain PyTorch, without fedlab: the reference for its results.

McMahan et al. (2017), Algorithm 1, on Fashion-MNIST: 100 IID clients of 600 pictures, ten a round,
batch 10, one local epoch, SGD at 0.05, the CNN of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

CLIENTS, COHORT, BATCH, RATE = 100, 10, 10, 0.05


def mcmahan_cnn() -> nn.Sequential:
    """Return the CNN of McMahan et al. (2017): 1,663,370 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 512),
        nn.ReLU(),
        nn.Linear(512, 10),
    )


def federated_averaging(
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    rounds: int,
    seed: int,
) -> Iterator[float]:
    """Yield the test accuracy after each round.

    Args:
        train: (60000, 1, 28, 28) pictures in 0..1 and (60000,) classes.
        test: Likewise.
        rounds: Number of rounds.
        seed: Determines weights, partition, cohorts and batches.
    """
    torch.manual_seed(seed)
    model = mcmahan_cnn()
    parts = torch.randperm(len(train[0])).chunk(CLIENTS)
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    for _ in range(rounds):
        sums = [torch.zeros_like(weight) for weight in weights]
        for client in torch.randperm(CLIENTS)[:COHORT].tolist():
            train_client(model, weights, train, parts[client])
            for total, parameter in zip(sums, model.parameters(), strict=True):
                total.add_(parameter.detach() / COHORT)
        weights = sums
        yield accuracy(model, weights, test)


def train_client(
    model: nn.Module,
    weights: list[torch.Tensor],
    train: tuple[torch.Tensor, torch.Tensor],
    rows: torch.Tensor,
) -> None:
    """Train one client for an epoch from ``weights``, in place."""
    load(model, weights)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    for batch in rows[torch.randperm(len(rows))].split(BATCH):
        optimizer.zero_grad()
        functional.cross_entropy(model(train[0][batch]), train[1][batch]).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(
    model: nn.Module, weights: list[torch.Tensor], test: tuple[torch.Tensor, torch.Tensor]
) -> float:
    """Return the accuracy of the weights on the test pictures."""
    load(model, weights)
    right = sum(
        int((model(inputs).argmax(1) == targets).sum())
        for inputs, targets in zip(test[0].split(1000), test[1].split(1000), strict=True)
    )
    return right / len(test[1])


@torch.no_grad()
def load(model: nn.Module, weights: list[torch.Tensor]) -> None:
    """Copy weights into the model."""
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        parameter.copy_(weight)
