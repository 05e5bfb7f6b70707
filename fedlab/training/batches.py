"""A client's mini-batches, epoch by epoch, in orders drawn from its generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from fedlab.models.selection import BatchNorm
from fedlab.training.task import LocalTask

MOST_BYTES_PREPARED = 1 << 24
"""Inputs are prepared at once up to this size, and batch by batch above."""


def batch_bounds(task: LocalTask, size: int) -> list[tuple[int, int]]:
    """Return where an epoch's batches start and stop.

    A last batch of a single example joins the batch before it where the model has trained batch
    norm, which has no variance of one example.
    """
    count = len(task.examples)
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1 and _trains_batch_norm(task):
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True)) if starts else []


class Batches:
    """The mini-batches of a client's steps.

    Only rows that are trained on are gathered. Of several epochs the inputs are prepared once,
    where that takes little memory; the values are the same in any case.

    Args:
        task: The client's data and generator.
        size: Examples per step.
        epochs: Passes over the client's examples, unless ``limit`` is set.
        limit: Number of steps instead of epochs.

    Attributes:
        steps: How many steps there are.
    """

    def __init__(
        self, task: LocalTask, size: int, epochs: int = 1, limit: int | None = None
    ) -> None:
        self._task = task
        self._bounds = batch_bounds(task, size)
        wanted = limit if limit is not None else len(self._bounds) * epochs
        self.steps = wanted if self._bounds else 0
        self._whole, self._rows = task.examples.located()
        repeats = self.steps > len(self._bounds)
        self._prepared = self._prepare_whole() if repeats else None

    def epoch(self, taken: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield one epoch of prepared batches as the task draws them, or those left of all steps.

        Args:
            taken: Steps taken before.
        """
        order = torch.randperm(len(self._rows), generator=self._task.generator)
        bounds = self._bounds[: self.steps - taken]
        order = order[: bounds[-1][1]]
        rows = self._rows[order]
        targets = self._whole.targets_at(rows)
        if self._prepared is not None:
            yield from self._drawn(self._prepared[order.to(self._prepared.device)], targets, bounds)
            return
        if self._is_small(len(rows)):
            inputs = self._task.prepare(self._whole.inputs_at(rows))
            yield from self._drawn(inputs, targets, bounds)
            return
        stored = self._whole.each_inputs(rows[start:stop] for start, stop in bounds)
        for (start, stop), inputs in zip(bounds, stored, strict=True):
            batch = self._task.prepare(inputs)
            yield from self._drawn(batch, targets[start:stop], [(0, stop - start)])

    def _drawn(
        self, inputs: torch.Tensor, targets: torch.Tensor, bounds: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        draw, augment, generator = self._task.draw, self._task.augment, self._task.generator
        for start, stop in bounds:
            yield draw(inputs[start:stop], targets[start:stop], augment, generator)

    def _prepare_whole(self) -> torch.Tensor | None:
        """Return all inputs of the client, prepared, or None where they would take much memory."""
        if not self._is_small(len(self._rows)):
            return None
        return self._task.prepare(self._whole.inputs_at(self._rows))

    def _is_small(self, count: int) -> bool:
        one = self._task.prepare(self._whole.inputs_at(self._rows[:1]))
        return one.nbytes * count <= MOST_BYTES_PREPARED


def _trains_batch_norm(task: LocalTask) -> bool:
    return any(
        isinstance(module, BatchNorm) and module not in task.network.frozen
        for module in task.network.model.module.modules()
    )
