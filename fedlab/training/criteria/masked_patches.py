"""The error of hidden patches."""

from __future__ import annotations

import torch

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.registry import criteria
from fedlab.training.criterion import Criterion


@criteria.register("masked-patches")
class MaskedPatches(Criterion):
    """|y − x|, a mean over all values of hidden patches (Xie et al. 2022, SimMIM, equation 1)."""

    def __init__(self, task: Task, label_smoothing: float = 0.0) -> None:
        super().__init__(task, label_smoothing)
        if task.masking is None:
            raise FedlabError(
                "client.criterion: 'masked-patches' compares what was hidden, and this data set's "
                f"task is {task.kind}; '{task.conventions.criterion}' fits it"
            )

    def counted(self, targets: torch.Tensor) -> torch.Tensor | int:
        """Return how many values were hidden."""
        return (~targets.isnan()).sum()

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean absolute error of outputs (N, values); targets are NaN where none is."""
        hidden = ~targets.isnan()
        return (outputs - targets)[hidden].abs().mean()
