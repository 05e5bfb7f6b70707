"""NIID-Bench's two classes in plain PyTorch, with only the reading of files from fedlab.

    python -m benchmarks.plain_niid fednova --seed 0

The reference for docs/results/niid-bench.md where its figures and the reproduction's differ: the
split, the CNN and the rates of that page's "two classes, as theirs", with the local steps and the
averaging of McMahan et al. 2017 (FedAvg) or Wang et al. 2020 (FedNova).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from torch import nn
from torch.nn import functional

from benchmarks.plain_fedavg import accuracy, load
from fedlab.registry import datasets

CLASSES = ((0, 7), (1, 6), (2, 4), (3, 4), (4, 8), (5, 0), (6, 2), (7, 0), (8, 5), (9, 7))
EPOCHS, BATCH, RATE, MOMENTUM, DECAY = 10, 64, 0.01, 0.9, 1e-5

Tensors = list[torch.Tensor]
Pictures = tuple[torch.Tensor, torch.Tensor]


def cnn() -> nn.Sequential:
    """Return the CNN of NIID-Bench for grey 28 x 28 pictures: 44,426 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def train_client(weights: Tensors, data: Pictures, seed: int) -> tuple[Tensors, int]:
    """Return the change y − x after ten epochs and the number of steps.

    Args:
        weights: x.
        data: The client's pictures and classes.
        seed: Determines the order of batches.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model, steps = cnn(), 0
    load(model, weights)
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(data[0])).split(BATCH):
            optimizer.zero_grad()
            functional.cross_entropy(model(data[0][batch]), data[1][batch]).backward()
            optimizer.step()
            steps += 1
    pairs = zip(model.parameters(), weights, strict=True)
    return [parameter.detach() - weight for parameter, weight in pairs], steps


def accumulated(steps: int) -> float:
    """Return the l1 norm of a for momentum (Wang et al. 2020, section 4)."""
    return (steps - MOMENTUM * (1 - MOMENTUM**steps) / (1 - MOMENTUM)) / (1 - MOMENTUM)


def weighted(shares: list[float], tensors: list[Tensors]) -> Tensors:
    """Return the weighted sum over clients, tensor by tensor."""
    return [
        torch.stack([share * part for share, part in zip(shares, parts, strict=True)]).sum(0)
        for parts in zip(*tensors, strict=True)
    ]


def factors(shares: list[float], steps: list[int]) -> list[float]:
    """Return FedNova's factor of each client's change: pᵢ τ_eff / ‖aᵢ‖₁."""
    norms = [accumulated(count) for count in steps]
    effective = sum(share * norm for share, norm in zip(shares, norms, strict=True))
    return [share * effective / norm for share, norm in zip(shares, norms, strict=True)]


def federate(
    algorithm: str, clients: list[Pictures], test: Pictures, seed: int, rounds: int
) -> Iterator[float]:
    """Yield the test accuracy after each round, in which all clients take part."""
    weights = [parameter.detach().clone() for parameter in cnn().parameters()]
    examples = [len(pictures) for pictures, _ in clients]
    shares = [count / sum(examples) for count in examples]
    # Not forked: torch refuses to train in a fork of a process whose devices have threads.
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for number in range(rounds):
            seeds = [100_000 * seed + 1000 * (number + 1) + k for k in range(len(clients))]
            copies = [weights] * len(clients)
            replies = list(pool.map(train_client, copies, clients, seeds))
            changes, steps = [change for change, _ in replies], [count for _, count in replies]
            move = weighted(factors(shares, steps) if algorithm == "fednova" else shares, changes)
            weights = [weight + step for weight, step in zip(weights, move, strict=True)]
            yield accuracy(cnn(), weights, test)


def split(targets: torch.Tensor) -> list[torch.Tensor]:
    """Return each client's rows: a class is divided equally among those that hold it."""
    parts: list[Tensors] = [[] for _ in CLASSES]
    for number in range(10):
        holders = [client for client, held in enumerate(CLASSES) if number in held]
        rows = torch.nonzero(targets == number).flatten()
        rows = rows[torch.randperm(len(rows))]
        for client, part in zip(holders, rows.tensor_split(len(holders)), strict=True):
            parts[client].append(part)
    return [torch.cat(rows) for rows in parts]


def fashion_mnist() -> tuple[Pictures, Pictures]:
    """Return training and test pictures in 0..1 with their classes."""
    source = datasets.get("fashion-mnist")
    dataset = source(source.Settings(name="fashion-mnist")).load(0)
    train, test = (
        (part.inputs / 255.0, part.targets.long()) for part in (dataset.train, dataset.test)
    )
    return train, test


def main() -> None:
    """Print the accuracy after each round and the best."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("algorithm", choices=("fedavg", "fednova"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    (pictures, targets), test = fashion_mnist()
    torch.manual_seed(arguments.seed)
    clients = [(pictures[rows], targets[rows]) for rows in split(targets)]
    best = 0.0
    run = federate(arguments.algorithm, clients, test, arguments.seed, arguments.rounds)
    for number, figure in enumerate(run, 1):
        best = max(best, figure)
        print(f"round {number}: {figure:.4f}, best {best:.4f}", flush=True)


if __name__ == "__main__":
    main()
