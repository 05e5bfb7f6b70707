"""The local loop for many clients at once: the plain loop's steps on stacked networks.

It draws the same batches in the same order as :func:`fedlab.training.loop.fit` and descends the
same objective, so its weights agree with the plain loop's to float tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from fedlab.engine.stacked.batches import StackedBatches
from fedlab.engine.stacked.descent import Descent, StackedSteps, StackKind, Terms
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask


@torch.no_grad()
def fit_stacked(
    kind: StackKind,
    tasks: Sequence[LocalTask],
    vectors: Sequence[torch.Tensor],
    terms: Sequence[Terms],
    steps: StackedSteps,
) -> tuple[list[Fit], Descent]:
    """Train the clients of a stack on cross-entropy + terms.

    Args:
        kind: How their network is stacked.
        tasks: The clients' tasks, the one with the most steps first.
        vectors: Each client's weights before, (size,).
        terms: Each client's parameter terms: dataclasses, alike but for their tensors' values.
        steps: How.

    Returns:
        Each client's fit, and what holds the clients' weights after it.
    """
    batches = StackedBatches(tasks, steps.batch_size, steps.epochs, steps.limit)
    descent = kind.descent(tasks, vectors, terms, steps)
    for start, stop, count in _segments(batches.lengths):
        descent.keep(count)
        for run in batches.runs(start, stop, count, descent.run_length):
            descent.run(run)
    return batches.fits(), descent


def _segments(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (first step, last step + 1, clients that take them) for falling ``lengths``."""
    start = 0
    for stop in sorted(set(lengths)):
        if stop > start:
            yield start, stop, sum(length >= stop for length in lengths)
        start = stop
