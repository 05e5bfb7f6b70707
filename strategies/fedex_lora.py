"""FedEx-LoRA: exact aggregation of LoRA (Singhal et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from fedlab.algorithm.low_rank import is_trained, mean_products, mismatch, travelling
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    mean,
)
from fedlab.registry import strategies
from strategies.fedit import no_products


@strategies.register("fedex-lora")
class FedExLora(VectorStrategy):
    """FedEx-LoRA: the mean's error goes into the frozen weights (Singhal et al. 2024).

    Equations 11 to 14, with clients' weights pᵢ:

        A ← Σ pᵢ Aᵢ        B ← Σ pᵢ Bᵢ        W ← W + α/r (Σ pᵢ Bᵢ Aᵢ − B A)

    Then W + α/r B A is exactly the mean of the clients' W + α/r Bᵢ Aᵢ. The weights W travel to the
    clients with the factors, behind them in the same vector (``model.adapter.base_travels``), and
    not back. The paper sends the residual as factors of rank K r, which a client adds to the W that
    it kept; here a client keeps nothing, and one that missed rounds has all the same.

    Attributes:
        mismatch: ‖Σ pᵢ Bᵢ Aᵢ − B A‖ / ‖Σ pᵢ Bᵢ Aᵢ‖ of the last round, before it is made up for.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = VectorStrategySettings
    traits = Traits(statistics="own")

    def __init__(self, settings: VectorStrategySettings) -> None:
        super().__init__(settings)
        self.mismatch = 0.0

    def objections(self, setup: Setup) -> Iterator[str]:
        """Tell whether there are two factors that travel, and the weights that they are added to.

        Args:
            setup: All parts of the run.
        """
        yield from super().objections(setup)
        missing = list(no_products(setup, "combines the factors of LoRA"))
        yield from missing
        adapted, layout = setup.network.adapted, setup.network.model.layout
        name = setup.scenario.strategy.name
        if missing or adapted is None or not is_trained(setup):
            return
        if not travelling(layout, adapted.products):
            yield (
                f"strategy.name: '{name}' makes up for the mean of two factors, and one stays "
                "frozen, so that the mean is exact; take 'fedavg', or leave out "
                "model.adapter.freeze_a"
            )
        elif not layout.held:
            yield (
                f"strategy.name: '{name}' adds to the weights under the adapter, which have to "
                "travel to the clients; set model.adapter.base_travels = true"
            )

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of all weights, with what is missing added to those under the adapter."""
        found = list(mean_products(self.context, replies))
        self.mismatch = mismatch(found)
        new: Vector = np.asarray(mean(replies), np.float64)
        entries, begin = {e.name: e for e in self.layout.entries}, self.layout.wire.start
        for own in found:
            entry = entries[own.product.weight]
            assert entry.stop - entry.start == math.prod(own.residual.shape)
            held = entry.view(torch.from_numpy(new), begin)
            held += own.product.placed(own.residual, entry.shape)
        return new

    def record(self) -> dict[str, Any]:
        """Return how far the product of means was off."""
        return {"product_mismatch": self.mismatch}
