"""Cross-entropy of single scores."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from fedlab.registry import criteria
from fedlab.training.criterion import Criterion, as_numbers


@criteria.register("binary")
class Binary(Criterion):
    """Cross-entropy of each output's sigmoid."""

    weighs_classes: ClassVar[bool] = True

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return −t log σ(y) − (1 − t) log(1 − σ(y)), a mean over all outputs.

        With class weights each value's loss is multiplied by the weight of its class.
        """
        wanted = as_numbers(targets, outputs)
        weight = self.weights_at(outputs.device)
        if weight is not None:
            classes = wanted.long() if outputs.shape[-1] == 1 else targets.long().view(-1, 1)
            weight = weight[classes].expand_as(wanted)
        return functional.binary_cross_entropy_with_logits(outputs, wanted, weight)
