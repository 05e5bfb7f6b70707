"""Episodes: a few examples to adapt a model on, and others to judge the adapted model by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from fedlab.training.task import LocalTask

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Episode:
    """Prepared inputs (n, ...) and targets (n, ...) of two disjoint sets.

    Attributes:
        support: What the model is adapted on.
        query: What the adapted model is judged by; where a client has no further example, the
            support.
    """

    support: Pair
    query: Pair


def episode_count(task: LocalTask, size: int, epochs: int, limit: int | None) -> int:
    """Return how many episodes a client's work has: as many as it would have batches."""
    if not len(task.examples):
        return 0
    return limit if limit is not None else epochs * -(-len(task.examples) // size)


def episodes(task: LocalTask, size: int, shots: int | None, count: int) -> Iterator[Episode]:
    """Yield episodes of a client's examples, each drawn anew.

    Args:
        task: The client's data and generator.
        size: How many examples an episode has at most.
        shots: How many examples of each class the support has, or of a task without classes how
            many in all; None for half of the episode, of each class.
        count: How many episodes.
    """
    for _ in range(count):
        order = torch.randperm(len(task.examples), generator=task.generator)
        support, query = _split(task, order, size, shots)
        query = query if len(query) else support
        yield Episode(drawn(task, support), drawn(task, query))


def sample(task: LocalTask, size: int, shots: int | None) -> Pair:
    """Return a batch that is drawn independently of all others.

    Args:
        task: The client's data and generator.
        size: How many examples it has at most.
        shots: How many of each class instead, as in :func:`episodes`; None for any.
    """
    order = torch.randperm(len(task.examples), generator=task.generator)
    rows = order[:size] if shots is None else _split(task, order, size, shots)[0]
    return drawn(task, rows)


def drawn(task: LocalTask, rows: torch.Tensor) -> Pair:
    """Return some of a client's examples as a batch, prepared and augmented."""
    whole, places = task.examples.located()
    chosen = places[rows]
    inputs = task.prepare(whole.inputs_at(chosen))
    return task.draw(inputs, whole.targets_at(chosen), task.augment, task.generator)


def _split(
    task: LocalTask, order: torch.Tensor, size: int, shots: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which of the client's examples are the support and the query, in a random order."""
    order = order[:size] if shots is None else order
    groups = [order]
    if task.task.kind == "classification":
        targets = task.examples.targets.cpu()[order]
        groups = [order[targets == label] for label in range(task.task.classes)]
    counts = [-(-len(group) // 2) if shots is None else shots for group in groups]
    support = torch.cat([group[:n] for group, n in zip(groups, counts, strict=True)])
    rest = order[~torch.isin(order, support)]
    return support, rest[: max(0, size - len(support))]
