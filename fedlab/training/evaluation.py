"""Evaluating a network on examples, in batches, without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.metrics.evaluation import Evaluation
from fedlab.models.network import Network
from fedlab.training.criterion import Criterion
from fedlab.training.draw import build_draw, merged, parted

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation

ROWS_PER_BATCH = 128
"""Of twice as many a small CNN's activations take 15 MB more of every worker, and no less time."""


@torch.no_grad()
def predict(
    network: Network, inputs: torch.Tensor, prepare: Preparation, batch_size: int = ROWS_PER_BATCH
) -> torch.Tensor:
    """Return the outputs of ``network`` for stored inputs, in evaluation mode."""
    network.model.module.eval()
    starts = range(0, len(inputs), batch_size)
    return torch.cat([network.model.call(prepare(inputs[s : s + batch_size])) for s in starts])


def classes_of(outputs: torch.Tensor) -> torch.Tensor:
    """Return (N,) the predicted classes; a single score is that of class 1 against class 0."""
    return (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)


def probabilities_of(outputs: torch.Tensor) -> torch.Tensor:
    """Return (N, classes) probabilities; a single score is that of class 1 against class 0."""
    scores = functional.pad(outputs, (1, 0)) if outputs.shape[1] == 1 else outputs
    return scores.softmax(1)


@torch.no_grad()
def evaluate(
    network: Network,
    examples: Examples,
    task: Task,
    prepare: Preparation,
    criterion: Criterion,
    batch_size: int = ROWS_PER_BATCH,
    sites: IntArray | None = None,
) -> Evaluation:
    """Return the metrics' sums of ``network`` on ``examples``, to be merged and computed.

    Args:
        network: The network.
        examples: The examples.
        task: What is learned.
        prepare: Turns stored inputs into what the network takes.
        criterion: The task loss.
        batch_size: Rows at a time.
        sites: (N,) whose each example is, where sites are counted, too; a task whose batches are
            several views of their inputs has none.
    """
    network.model.module.eval()
    evaluation, draw = Evaluation(task), build_draw(task)
    starts = range(0, len(examples), batch_size)
    stored = examples.each_inputs(slice(start, start + batch_size) for start in starts)
    for start, found in zip(starts, stored, strict=True):
        inputs, targets = draw(prepare(found), examples.targets[start : start + batch_size])
        outputs = parted(network.model.call(merged(inputs, draw.views)), draw.views)
        loss = criterion(outputs, targets).item()
        # Metrics are sums in double precision, which not every device has.
        outputs, targets = outputs.cpu(), targets.cpu()
        evaluation.update(outputs, targets, loss * len(targets), len(targets))
        if sites is not None and draw.views == 1:
            own = sites[start : start + batch_size]
            _count_sites(evaluation, outputs, targets, criterion, own)
    return evaluation


def _count_sites(
    evaluation: Evaluation,
    outputs: torch.Tensor,
    targets: torch.Tensor,
    criterion: Criterion,
    sites: IntArray,
) -> None:
    """Count each site's rows of a batch."""
    for site in np.unique(sites).tolist():
        rows = torch.from_numpy(np.flatnonzero(sites == site))
        scores, wanted = outputs[rows], targets[rows]
        loss = criterion(scores, wanted).item()
        evaluation.site(site).update(scores, wanted, loss * len(wanted), len(wanted))
