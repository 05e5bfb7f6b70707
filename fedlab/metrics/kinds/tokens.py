"""Metrics of predicted tokens."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fedlab.metrics.contract import MetricSet, Sums
from fedlab.metrics.scores import counted
from fedlab.registry import metrics


@metrics.register("tokens")
class Tokens(MetricSet):
    """Accuracy and perplexity over all tokens."""

    names: ClassVar[tuple[str, ...]] = ("accuracy", "perplexity")

    def sizes(self) -> dict[str, int]:
        """Return the size of the one sum: tokens that were right, their surprise, their number."""
        return {"tokens": 3}

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return how many tokens were right, their surprise in nats, and how many there were."""
        scores, flat = counted(outputs, targets, self.task.padding)
        if not len(flat):
            return {}
        right = (scores.argmax(-1) == flat).double()
        surprise = functional.cross_entropy(scores, flat, reduction="sum")
        return {"tokens": torch.stack([right.sum(), surprise, torch.tensor(len(flat))])}

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return accuracy and perplexity."""
        right, surprise, count = sums["tokens"].tolist()
        count = max(count, 1)
        return {"accuracy": right / count, "perplexity": math.exp(surprise / count)}
