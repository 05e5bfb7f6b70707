"""Agreement of two views."""

from __future__ import annotations

import torch
from torch.nn import functional

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.registry import criteria
from fedlab.training.criterion import Criterion


@criteria.register("agreement")
class Agreement(Criterion):
    """2 − 2 cos of what is predicted of a view and the projection of the other one, held constant.

    Both ways, a mean over them (Chen and He 2021, SimSiam, equation 2, as a distance). A task
    without a predictor compares the projections themselves.
    """

    def __init__(self, task: Task, label_smoothing: float = 0.0) -> None:
        super().__init__(task, label_smoothing)
        if task.projection is None:
            raise FedlabError(
                "client.criterion: 'agreement' compares two views of an input, and this data set's "
                f"task is {task.kind}; '{task.conventions.criterion}' fits it"
            )
        self._size = task.projection.sizes[-1]

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean over examples and both ways, for the outputs of views (2, N, ...)."""
        return self.loss(outputs, targets)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return 2 − ⟨q₁, z₂⟩ − ⟨q₂, z₁⟩ of unit vectors, a mean over examples."""
        projected, predicted = outputs[..., : self._size], outputs[..., -self._size :]
        return distances(predicted, projected.detach().flip(0)).mean()


def distances(predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return ‖a/‖a‖ − b/‖b‖‖² = 2 − 2 cos(a, b) of each pair of vectors (..., D): (...)."""
    return 2 - 2 * functional.cosine_similarity(predicted, wanted, dim=-1)
