"""FedIT: LoRA's factors averaged each by itself (Zhang et al. 2024, ICASSP)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from fedlab.algorithm.low_rank import is_trained, mean_products, mismatch, names_that_travel
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


@strategies.register("fedit")
class FedIT(VectorStrategy):
    """FedIT: the mean of A and of B, and how far their product is off (Zhang et al. 2024, ICASSP).

    With clients' weights pᵢ:

        A ← Σ pᵢ Aᵢ        B ← Σ pᵢ Bᵢ

    As FedAvg does, but it sees each reply and records, as "product_mismatch" of a round,

        ‖Σ pᵢ Bᵢ Aᵢ − B A‖ / ‖Σ pᵢ Bᵢ Aᵢ‖

    over all adapted weights. It is 0 where A stays frozen (``model.adapter.freeze_a``).

    Attributes:
        mismatch: The figure of the last round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = VectorStrategySettings
    traits = Traits()

    def __init__(self, settings: VectorStrategySettings) -> None:
        super().__init__(settings)
        self.mismatch = 0.0

    def objections(self, setup: Setup) -> Iterator[str]:
        """Tell whether the model has products of factors that travel."""
        yield from super().objections(setup)
        yield from no_products(setup, "averages the factors of LoRA")

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of all weights, and measure."""
        self.mismatch = mismatch(list(mean_products(self.context, replies)))
        new: Vector = mean(replies)
        return new

    def record(self) -> dict[str, Any]:
        """Return how far the product of means is off."""
        return {"product_mismatch": self.mismatch}


def no_products(setup: Setup, does: str) -> Iterator[str]:
    """Tell whether the model lacks products whose factors a strategy combines.

    Args:
        setup: All parts of the run.
        does: What the strategy does with them.
    """
    adapted, layout = setup.network.adapted, setup.network.model.layout
    name = setup.scenario.strategy.name
    if adapted is None or not adapted.products:
        yield (
            f"strategy.name: '{name}' {does}, and this model has none; add a table "
            "[model.adapter] with name = 'lora', or take 'fedavg'"
        )
        return
    if not is_trained(setup):
        return
    shared = names_that_travel(layout)
    if not any(product.b in shared for product in adapted.products):
        yield (
            f"strategy.name: '{name}' {does}, and they do not travel; see model.trainable "
            "('adapter+head' trains them) and model.personal"
        )
