"""HetLoRA's server: factors weighed by how much they do (Cho et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fedlab.algorithm.low_rank import norms_of_products, travelling
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategySettings
from fedlab.registry import strategies
from strategies.fedit import FedIT


@strategies.register("hetlora")
class HetLora(FedIT):
    """HetLoRA: clients of different ranks, each weighed by its product's norm (Cho et al. 2024).

    "Heterogeneous LoRA for Federated Fine-tuning of On-Device Foundation Models", EMNLP, section
    3.2, sparsity-weighted aggregation. Clients' factors are filled up with zeros to the largest
    rank; with S_k = ‖B_k A_k‖ (Frobenius, over all adapted weights) and Z = Σ S_k

        A ← Σ S_k / Z · A_k        B ← Σ S_k / Z · B_k

    What is no factor (the head) is averaged as ever. Client ``hetlora`` trains at ranks of their
    own; with others, which have the same rank, the norms alone tell them apart. Where all products
    are zero, factors are averaged as ever, too.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = VectorStrategySettings

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of all weights, that of factors by the norms of their products."""
        new = np.array(super().step(server_round, weights, replies), np.float64)
        norms = norms_of_products(self.context, replies)
        if not norms.sum():
            return new
        parts = norms / norms.sum()
        start = self.layout.wire.start
        entries = {entry.name: entry for entry in self.layout.entries}
        for product in travelling(self.layout, self.context.products):
            for name in (product.a, product.b):
                place = entries[name].place(start)
                each = [np.asarray(reply.weights[place], np.float64) for reply in replies]
                new[place] = sum(p * own for p, own in zip(parts, each, strict=True))
        return new
