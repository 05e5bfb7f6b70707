"""FLoRA: products of any ranks are added up exactly (Wang et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch

from fedlab.algorithm.low_rank import mean_products, mismatch
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategySettings, mean
from fedlab.registry import strategies
from strategies.fedex_lora import FedExLora


@strategies.register("flora")
class FLora(FedExLora):
    """FLoRA: the clients' products, of any ranks, go into the weights (Wang et al. 2024, NeurIPS).

    "FLoRA: Federated Fine-Tuning Large Language Models with Heterogeneous Low-Rank Adaptations",
    equations 5 to 7. Factors are stacked, which adds up their products without cross terms; with
    clients' weights pᵢ, and whatever the ranks:

        W ← W + α/r [p₁ B₁ … p_K B_K] [A₁; …; A_K] = W + α/r Σ pᵢ Bᵢ Aᵢ        B ← 0

    The next round begins with new factors: A as it was drawn (the paper draws another), and B of
    zeros. W travels to the clients (``model.adapter.base_travels``), and not back; the paper sends
    the stack in its place. What is no factor (the head) is averaged as ever.

    Attributes:
        mismatch: ‖Σ pᵢ Bᵢ Aᵢ − B A‖ / ‖Σ pᵢ Bᵢ Aᵢ‖ of the last round, which plain means would miss.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = VectorStrategySettings

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of all weights, with products in the weights and factors anew."""
        found = list(mean_products(self.context, replies))
        self.mismatch = mismatch(found)
        new: Vector = np.asarray(mean(replies), np.float64)
        vector, sent = torch.from_numpy(new), torch.from_numpy(np.asarray(weights, np.float64))
        entries, begin = {e.name: e for e in self.layout.entries}, self.layout.wire.start
        for own in found:
            entry = entries[own.product.weight]
            assert entry.stop - entry.start == math.prod(own.of_clients.shape)
            entry.view(vector, begin).add_(own.product.placed(own.of_clients, entry.shape))
            entries[own.product.a].view(vector, begin).copy_(
                entries[own.product.a].view(sent, begin)
            )
            entries[own.product.b].view(vector, begin).zero_()
        return new
