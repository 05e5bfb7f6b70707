"""The batches of many clients at once: which examples each takes in each step, laid out in runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from fedlab.data.dataset import Examples
from fedlab.training.batches import batch_bounds
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask

VALUES_PER_RUN = {"cpu": 1 << 19}
"""Prepared input values at a time, by kind of device: few enough to stay in a processor's cache,
enough for one call to pay."""
VALUES_PER_RUN_ELSEWHERE = 1 << 23
"""Of other devices, where a copy and the calls about it cost more than the values."""


@dataclass(frozen=True)
class Run:
    """Some steps of all clients that take them.

    Attributes:
        inputs: (K, steps · B, ...) prepared, one step's after the other's.
        targets: (steps, K, B, ...).
        weights: (steps, K, B) each example's weight in its client's loss; 0 for what fills up.
        picked: (steps, K, B), to be filled with the log-likelihoods of the targets. Where an
            example has several, it is the part of the batch's mean loss that is due to it, with the
            sign turned, times the number of the batch's examples.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    picked: torch.Tensor


class StackedBatches:
    """The batches of all clients: which rows each client takes in each step.

    Args:
        tasks: The clients' tasks, the one with the most steps first.
        batch_size: Examples per step.
        epochs: Passes over each client's examples, unless ``limit`` is set.
        limit: Number of steps instead of epochs.

    Attributes:
        lengths: How many steps each client takes.
    """

    def __init__(
        self,
        tasks: Sequence[LocalTask],
        batch_size: int,
        epochs: Sequence[int],
        limit: int | None,
    ) -> None:
        self._tasks = tasks
        self._bounds = [batch_bounds(task, batch_size) for task in tasks]
        self.lengths = [
            (limit if limit is not None else len(bounds) * passes) if bounds else 0
            for bounds, passes in zip(self._bounds, epochs, strict=True)
        ]
        self._width = min(batch_size, max(len(task.examples) for task in tasks))
        shape = (max(self.lengths), len(tasks), self._width)
        self._rows = torch.zeros(shape, dtype=torch.int64)
        self._counts = torch.zeros(shape[:2], dtype=torch.int64)
        whole, rows = _located([task.examples for task in tasks])
        for k, own in enumerate(rows):
            self._draw(k, own)
        self._whole, self._targets = whole, whole.targets
        valid = torch.arange(self._width) < self._counts.unsqueeze(2)
        weights = (valid / self._counts.clamp(min=1).unsqueeze(2)).float()
        # Rows are drawn on the CPU; what a step is called on lies where the examples do.
        self._weights = weights.to(self._targets.device)
        self._picked = torch.zeros(shape, device=self._targets.device)

    def _draw(self, k: int, rows: torch.Tensor) -> None:
        """Draw a client's batches of its ``rows`` epoch by epoch, as the plain loop does."""
        taken, in_epoch = 0, len(self._bounds[k])
        while taken < self.lengths[k]:
            order = torch.randperm(len(rows), generator=self._tasks[k].generator)
            filled = rows.index_select(0, order)
            missing = in_epoch * self._width - len(rows)
            if missing:
                filled = torch.cat([filled, rows[:1].expand(missing)])
            steps = slice(taken, min(taken + in_epoch, self.lengths[k]))
            count = steps.stop - steps.start
            self._rows[steps, k] = filled.view(in_epoch, self._width)[:count]
            self._counts[steps, k] = self._width
            if missing and count == in_epoch:
                self._counts[steps.stop - 1, k] = self._width - missing
            taken = steps.stop

    def runs(self, start: int, stop: int, count: int, length: int) -> Iterator[Run]:
        """Yield runs of steps.

        Args:
            start, stop: Steps.
            count: How many clients take them.
            length: Steps in a run; 0 for as many as are handled well at once.
        """
        per_step = count * self._width * math.prod(self._tasks[0].task.input_shape)
        values = VALUES_PER_RUN.get(self._targets.device.type, VALUES_PER_RUN_ELSEWHERE)
        length = length or max(1, values // per_step)
        for first in range(start, stop, length):
            yield self._run(slice(first, min(first + length, stop)), count)

    def _run(self, steps: slice, count: int) -> Run:
        rows = self._rows[steps, :count]
        chosen = rows.transpose(0, 1).flatten()
        inputs = self._tasks[0].prepare(self._whole.inputs_at(chosen))
        wanted_rows = rows.flatten().to(self._targets.device)
        targets = self._targets.index_select(0, wanted_rows)
        return Run(
            inputs.view(count, -1, *inputs.shape[1:]),
            targets.view(*rows.shape, *targets.shape[1:]),
            self._weights[steps, :count],
            self._picked[steps, :count],
        )

    def fits(self) -> list[Fit]:
        """Return each client's fit."""
        seen = self._counts.sum(0).tolist()
        losses = -(self._picked * (self._weights > 0)).sum((0, 2)).cpu().double()
        return [
            Fit(length, math.ceil(length / len(bounds)) if bounds else 0, float(loss) / max(n, 1))
            for length, bounds, loss, n in zip(
                self.lengths, self._bounds, losses, seen, strict=True
            )
        ]


def _located(examples: Sequence[Examples]) -> tuple[Examples, list[torch.Tensor]]:
    """Return examples that hold those of all clients, and which rows are each client's.

    That is the whole data set where all are rows of it; else the clients' own are put together.
    """
    located = [own.located() for own in examples]
    if len({id(whole) for whole, _ in located}) == 1:
        return located[0][0], [rows for _, rows in located]
    joined = Examples(
        torch.cat([own.inputs for own in examples]), torch.cat([own.targets for own in examples])
    )
    starts = accumulate(map(len, examples), initial=0)
    return joined, [
        start + torch.arange(len(own)) for start, own in zip(starts, examples, strict=False)
    ]
