"""The ideal: plain PyTorch loops over the same clients and steps, in one process or several.

    python -m benchmarks.speed.plain WORKLOAD.toml PROCESSES [DEVICE]

Nothing is federated: each process has all data in shared memory and one model, receives the round's
weights and its share of the cohort through a pipe, and sends back the sum of the trained weights.
"""

from __future__ import annotations

import random
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from benchmarks.speed.reference import Work, accuracy, load_work, report, train_client
from fedlab import seeding


def share_of(work: Work, weights: torch.Tensor, clients: list[int]) -> torch.Tensor:
    """Return Σ n w over some clients, each trained from ``weights``."""
    trained = [parameter for parameter in work.module.parameters() if parameter.requires_grad]
    total = torch.zeros_like(weights)
    for client in clients:
        with torch.no_grad():
            for parameter in trained:
                parameter.requires_grad_(False)
            vector_to_parameters(weights.clone(), trained)
            for parameter in trained:
                parameter.requires_grad_(True)
        train_client(work.module, work, work.parts[client])
        total += parameters_to_vector(trained).detach() * len(work.parts[client])
    return total


def serve(connection: Connection, work: Work) -> None:
    """Train the clients received through the pipe until it is closed."""
    torch.set_num_threads(1)
    while (message := connection.recv()) is not None:
        connection.send(share_of(work, *message))


def cohort_of(work: Work, number: int) -> list[int]:
    """Return the clients that fedlab samples in a round, so that the work is the same."""
    with seeding.scope(work.seed, "configure train", number):
        return random.sample(range(len(work.parts)), work.cohort)


def main(path: Path, processes: int, device: str = "cpu") -> None:
    """Run a workload's rounds; on a device, in one process."""
    work = load_work(path, device)
    torch.manual_seed(work.seed)
    trained = [parameter for parameter in work.module.parameters() if parameter.requires_grad]
    weights = parameters_to_vector(trained).detach()
    pipes = _start(work, processes) if processes > 1 else []
    for number in range(1, work.rounds + 1):
        cohort = cohort_of(work, number)
        examples = sum(len(work.parts[client]) for client in cohort)
        if pipes:
            for position, pipe in enumerate(pipes):
                pipe.send((weights, cohort[position :: len(pipes)]))
            total = sum(pipe.recv() for pipe in pipes)
        else:
            total = share_of(work, weights, cohort)
        weights = total / examples
        report(round=number)
    for pipe in pipes:
        pipe.send(None)
    vector_to_parameters(weights, trained)
    report(accuracy=accuracy(work.module, work))


def _start(work: Work, processes: int) -> list[Any]:
    for tensor in (work.inputs, work.targets):
        tensor.share_memory_()
    pipes = []
    for _ in range(processes):
        mine, theirs = multiprocessing.Pipe()
        worker = multiprocessing.Process(target=serve, args=(theirs, work), daemon=True)
        worker.start()
        pipes.append(mine)
    return pipes


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
