"""Gradual pruning: the global model gets sparser from round to round (Zhu and Gupta 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord
from pydantic import Field, SerializeAsAny, model_validator

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import InnerStrategySettings, build_strategy, own_traits
from fedlab.algorithm.vector_strategy import ServerContext, Vector, record_of
from fedlab.algorithm.wrapper import StrategyWrapper
from fedlab.models.compact import pruned
from fedlab.models.layout import Entry, Layout
from fedlab.registry import strategies
from fedlab.settings import Settings


class GradualPruningSettings(Settings):
    """Keys of ``[strategy]`` with name = "gradual-pruning"."""

    name: str
    sparsity: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="s_f: fraction of the weights in matrices that is 0 at the end",
    )
    first: int = Field(1, ge=1, description="t₀: the last round without pruning")
    last: int = Field(10, ge=2, description="the round after which the final sparsity is kept")
    prune_head: bool = Field(
        False,
        description="prune the head's matrices among the others: a new head on pretrained layers "
        "has the smallest weights of all, and would go first",
    )
    inner: SerializeAsAny[Settings] = Field(
        InnerStrategySettings(name="fedavg"),
        description="the strategy whose global weights are pruned, a table with its name and keys",
    )

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> GradualPruningSettings:
        if self.last <= self.first:
            raise ValueError(f"last: it must be above first, which is {self.first}")
        return self


@strategies.register("gradual-pruning")
class GradualPruning(StrategyWrapper):
    """Gradual magnitude pruning of the global weights, around any strategy (Zhu and Gupta 2017).

    "To prune, or not to prune: exploring the efficacy of pruning for model compression", equation
    1: after round t the smallest weights by magnitude, over all matrices below the head, or with
    ``prune_head`` over all, are set to 0, a fraction

        s_t = s_f (1 − (1 − (t − t₀) / (T − t₀))³),    t₀ ≤ t ≤ T,

    and s_f from round T on. Clients train all weights, so that one that was cut off too early grows
    again. Biases and normalisations are not pruned. ``fedlab compress`` writes what is left in a
    file without the zeros.

    Attributes:
        sparsity: s_t of the last round.
    """

    Settings: ClassVar[type[Settings]] = GradualPruningSettings

    def __init__(self, settings: Any) -> None:
        super().__init__(build_strategy(settings.inner))
        self.settings = settings
        self.traits = own_traits(self.strategy)
        self.sparsity = 0.0
        self._context: ServerContext

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """Return the strategy with these settings."""
        return cls(settings)

    def begin(self, context: ServerContext) -> None:
        """Take what the server has for the algorithm; called once, before the first round."""
        self._context = context

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield whether the final sparsity would not be reached, or nothing can be pruned."""
        rounds, last = setup.scenario.rounds, self.settings.last
        if last > rounds:
            yield (
                f"strategy.last: the final sparsity is reached in round {last}, and the run has "
                f"{rounds}; set last = {rounds} or less"
            )
        layout = setup.network.model.layout
        if not any(len(e.shape) > 1 for e in self._considered(layout, setup.network.head)):
            where = "" if self.settings.prune_head else "below the head "
            yield (
                f"strategy.name: 'gradual-pruning' sets weights of matrices {where}to 0, and no "
                "such matrix of this model is trained and travels; leave it out"
            )

    def _considered(self, layout: Layout, head: str) -> list[Entry]:
        """Return the parameters that may be pruned."""
        entries = layout.shared_entries
        return [e for e in entries if self.settings.prune_head or not e.name.startswith(head)]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return what the wrapped strategy makes of the replies, pruned."""
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        self.sparsity = self.scheduled(server_round)
        if arrays is None or not self.sparsity:
            return arrays, metrics
        return record_of(self._pruned(next(iter(arrays.values())).numpy())), metrics

    def scheduled(self, server_round: int) -> float:
        """Return s_t after a round."""
        first, last = self.settings.first, self.settings.last
        done = min(max((server_round - first) / (last - first), 0.0), 1.0)
        return float(self.settings.sparsity * (1 - (1 - done) ** 3))

    def _pruned(self, weights: Vector) -> Vector:
        """Return the weights with the smallest set to 0."""
        layout = self._context.layout
        vector = torch.from_numpy(np.array(weights, np.float32))
        first = layout.wire.start
        considered = self._considered(layout, self._context.head)
        views = {entry.name: entry.view(vector, first) for entry in considered}
        for name, tensor in pruned(views, self.sparsity).items():
            views[name].copy_(tensor)
        return np.asarray(vector.numpy())

    def record(self) -> dict[str, Any]:
        """Return the sparsity, beside what the wrapped strategy records."""
        return {**super().record(), "sparsity": self.sparsity}
