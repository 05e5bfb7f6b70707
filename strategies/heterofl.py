"""HeteroFL's server: every weight is the mean over the clients whose model has it (2021)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from pydantic import Field

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    record_of,
)
from fedlab.models.layout import Layout
from fedlab.models.narrow import places
from fedlab.registry import strategies
from fedlab.wire.protocol import LAYOUT, client_of
from fedlab.wire.records import config_of

CLASSES = "classes"


class HeteroFlSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for HeteroFL."""

    name: str = "heterofl"
    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in a mean: 1, as in the paper, or its examples"
    )


@strategies.register("heterofl")
class HeteroFL(VectorStrategy):
    """HeteroFL: clients of different widths share one model's weights (Diao et al. 2021, ICLR).

    "HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous
    Clients", equations 1 to 3. Client k of width p_k gets, of each hidden layer's K units, the
    first ⌈p_k K⌉, and the weights between them; these alone travel. With H_j the clients of a
    cohort whose model has weight j, of which there is at least one,

        w_j ← Σ_{k ∈ H_j} n_k w_j(k) / Σ_{k ∈ H_j} n_k

    and a weight that none has stays; n_k is 1, as in the paper. Of the last layer a client counts
    as having the rows of those classes of which it says that it has examples.

    Running statistics of batch norm are kept for each width, of whose clients they become the mean;
    the server's model has those of the widest that there are. In the paper (static batch norm)
    clients track none, and compute them for the final model of each width.

    Attributes:
        statistics: (widths, statistics) the running statistics for each width; None before the
            first round.
        known: Whether any client of a width has replied so far, 0 or 1 for each.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = HeteroFlSettings
    traits = Traits(client="heterofl", several_models=True, sub_models=True, statistics="own")

    rolls: ClassVar[bool] = False
    """Whether the windows over units move on from round to round."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.statistics: Vector | None = None
        self.known: list[int] = []

    def shift(self, server_round: int) -> int:
        """Return where the windows over units begin: always at the first one."""
        return 0

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield whether some units would be in no client's model, and so never trained."""
        yield from super().objections(setup)
        widths = getattr(setup.algorithm, "widths", ())
        if widths and max(widths) < 1 and not self.rolls:
            yield (
                f"client.widths: the largest is {max(widths)}, and clients have the first units of "
                "each layer, so that nobody would train the rest; add 1, or set strategy.name = "
                "'fedrolex'"
            )

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message per client of the cohort, with its own model's weights."""
        messages = super().configure_train(server_round, arrays, config, grid)
        return self._cut(server_round, arrays, messages)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message per client that evaluates, with its own model's weights."""
        messages = super().configure_evaluate(server_round, arrays, config, grid)
        return self._cut(server_round, arrays, messages)

    def _cut(
        self, server_round: int, arrays: ArrayRecord, messages: Iterable[Message]
    ) -> list[Message]:
        """Leave in each message what its client's model has; one content for each width."""
        weights, narrow = next(iter(arrays.values())).numpy(), self.context.narrow
        cut: dict[int, RecordDict] = {}
        sent = list(messages)
        for message in sent:
            level = self._level(message.metadata.dst_node_id)
            if level not in cut:
                own = message.content.copy()
                held = places(self.layout, narrow[level], self.shift(server_round)).numpy()
                config = ConfigRecord(dict(config_of(own)))
                config[LAYOUT] = narrow[level].fingerprint
                own[self.arrayrecord_key] = record_of(self._held(level, weights, held))
                own[self.configrecord_key] = config
                cut[level] = own
            message.content = cut[level]
        return sent

    def _held(self, level: int, weights: Vector, held: Vector) -> Vector:
        """Return what travels to clients of a width: their weights, and that width's statistics."""
        own, count = weights[held], self.context.narrow[level].wire_parameters
        if self.statistics is not None and self.known[level]:
            own[count:] = self.statistics[level][held[count:] - self.layout.wire_parameters]
        return own

    def _level(self, node: int) -> int:
        """Return which of the widths a client has."""
        return client_of(node) % len(self.context.narrow)

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of each weight over the clients that have it."""
        narrow, count = self.context.narrow, self.layout.wire_parameters
        shift = self.shift(server_round)
        means = [_Mean(weights), *(_Mean(weights) for _ in narrow)]
        if self.statistics is None:
            self.statistics = np.tile(np.asarray(weights[count:], np.float32), (len(narrow), 1))
            self.known = [0] * len(narrow)
        for reply in replies:
            level = self._level(reply.client)
            held = places(self.layout, narrow[level], shift).numpy()
            shares = self._shares(narrow[level], reply)
            means[0].add(held, shares, reply.weights)
            means[1 + level].add(held, shares, reply.weights)
            self.known[level] = 1
        for level, own in enumerate(means[1:]):
            before = np.concatenate([weights[:count], self.statistics[level]])
            self.statistics[level] = own.reached(before)[count:]
        widest = max(
            (level for level, known in enumerate(self.known) if known),
            key=lambda level: narrow[level].wire_size,
        )
        return np.concatenate([means[0].reached(weights)[:count], self.statistics[widest]])

    def _shares(self, narrow: Layout, reply: Reply) -> Vector:
        """Return (own weights,) what a client weighs in the mean of each of its weights."""
        shares = np.full(narrow.wire_size, float(reply.weight))
        present = reply.arrays.get(CLASSES)
        if present is None:
            return shares
        for entry in narrow.shared_entries:
            if entry.name.startswith(f"{self.context.head}."):
                rows = shares[entry.place(narrow.wire.start)].reshape(entry.shape[0], -1)
                rows[present == 0] = 0
        return shares


class _Mean:
    """The mean of each weight over those that have it, in double precision.

    Args:
        like: A vector of all weights.
    """

    def __init__(self, like: Vector) -> None:
        self._total, self._shares = np.zeros(len(like)), np.zeros(len(like))

    def add(self, held: Vector, shares: Vector, values: Vector) -> None:
        """Add the weights that a client has, at their places, each with its share."""
        self._total[held] += shares * np.asarray(values, np.float64)
        self._shares[held] += shares

    def reached(self, before: Vector) -> Vector:
        """Return the means, and what was there before where nobody had a weight."""
        known, new = self._shares > 0, np.array(before, np.float64)
        new[known] = self._total[known] / self._shares[known]
        return new
