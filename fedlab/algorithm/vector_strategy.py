"""The base of fedlab's own strategies: Flower's sampling, and vectors instead of messages.

An algorithm computes the new weights from the old ones and the replies in
:meth:`VectorStrategy.step` and, where clients need more than the weights, says in
:meth:`VectorStrategy.broadcast` and :meth:`VectorStrategy.values` what else they get.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from pydantic import Field

from fedlab.algorithm.public import PublicInputs
from fedlab.algorithm.sampling import CohortSampling
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import StrategySettings, Traits, attributes_state
from fedlab.data.dataset import Task
from fedlab.models.adapters.contract import Product
from fedlab.models.layout import Layout
from fedlab.wire.protocol import WEIGHTING
from fedlab.wire.records import records_of
from fedlab.wire.sums import weight_and_numbers

CPU = torch.device("cpu")
Vector = np.ndarray[Any, np.dtype[Any]]
Scalar = bool | int | float | str | bytes


class VectorStrategySettings(StrategySettings):
    """Keys of ``[strategy]`` that every strategy of fedlab's own has."""

    weighting: Literal["examples", "clients"] = Field(
        "examples", description="what a client weighs in a mean: its examples, or 1 like any other"
    )


@dataclass(frozen=True)
class Reply:
    """What one client sent or, to a strategy that takes a mean, the mean of what all sent.

    Attributes:
        client: The client's node; of a mean, any of its clients'.
        weight: Its weight in a mean; of a mean, the sum over its clients.
        weights: (parameters,) float32: the client's weights, or what it sends in their place.
        arrays: Further vectors, by name.
        metrics: Numbers, such as "train_loss".
    """

    client: int
    weight: float
    weights: Vector
    arrays: dict[str, Vector]
    metrics: dict[str, float]


@dataclass(frozen=True)
class ServerContext:
    """What the server has for a strategy, from before the first round on.

    Attributes:
        layout: Where each tensor stands in the vectors.
        task: What is learned.
        public: The inputs of public examples, for a strategy with ``needs_public``, else None.
        train_on_root: Returns the weights that training on the root data leads to, given the round
            and the weights to begin with, for a strategy with ``needs_root``, else None.
        device: Where the server may compute what takes long; on the CPU bits are those of NumPy.
        head: What the names of the last layer's parameters begin with.
        narrow: The layouts of the clients' models, in turn, where these are narrower than the
            server's (``ClientAlgorithm.widths``).
        products: The low-rank products that an adapter adds to weights of the network.
    """

    layout: Layout
    task: Task
    public: PublicInputs | None = None
    train_on_root: Callable[[int, Vector], Vector] | None = None
    device: torch.device = CPU
    head: str = "head"
    narrow: tuple[Layout, ...] = ()
    products: tuple[Product, ...] = ()


class VectorStrategy(CohortSampling):
    """Samples a cohort as Flower's FedAvg does, and hands its replies to :meth:`step` as vectors.

    The vectors hold the parameters that travel. Running statistics of batch norm are combined
    beside the strategy, unless its traits say that they are its own concern; then they follow the
    parameters (``layout.wire_parameters`` of ``layout.wire_size`` values).

    What a subclass sets as its own attributes is its state: numbers, arrays, and lists and
    dictionaries of them are kept in checkpoints.

    Attributes:
        settings: The keys of ``[strategy]``.
        layout: Where each tensor stands in the vectors; set before the first round.
        traits: What it takes and needs; with ``takes_mean``, :meth:`step` gets one reply, the
            weighted mean, instead of each client's.
        context: What the server has for it; set by :meth:`begin`.
        train_on_root: Returns the weights after training on the root data, given the round and the
            initial weights; set by :meth:`begin`, with ``needs_root`` among the traits.
        cohort, population: How many clients the round was sent to, of how many.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = VectorStrategySettings
    traits: Traits = Traits()
    train_on_root: Callable[[int, Vector], Vector]

    def __init__(self, settings: Any) -> None:
        sampling = {name: getattr(settings, name) for name in StrategySettings.model_fields}
        del sampling["name"]
        super().__init__(**sampling)
        self.settings = settings
        self.layout: Layout
        self.context: ServerContext
        self.cohort, self.population = 0, 0
        self._sent: Vector = np.empty(0, np.float32)
        self._not_state = frozenset({*vars(self), "layout", "context", "traits", "_not_state"})

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """Return the strategy with these settings."""
        return cls(settings)

    def begin(self, context: ServerContext) -> None:
        """Take what the server has for the algorithm; called once, before the first round."""
        self.context = context
        self.layout = context.layout
        if self.traits.needs_root:
            assert context.train_on_root is not None
            self.train_on_root = context.train_on_root

    @property
    def device(self) -> torch.device:
        """Return where the server may compute what takes long."""
        return self.context.device if hasattr(self, "context") else CPU

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence for each reason why the algorithm cannot work with the other parts.

        Args:
            setup: All parts of the run.
        """
        if self.traits.needs_public:
            yield from _public(setup)
        if self.traits.needs_root and not setup.engine.holds_root:
            yield (
                f"engine.name: the nodes of engine '{setup.scenario.engine.name}' are all clients, "
                f"and strategy '{self.settings.name}' trains on the server's own data; use engine "
                "'ray' or 'inline'"
            )

    @abstractmethod
    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the new global weights.

        Args:
            server_round: The round, from 1.
            weights: (parameters,) the weights that were sent; not to be changed.
            replies: One per client, in the order of clients, or one alone (``takes_mean``).
        """

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return further vectors for every client of the cohort, by name."""
        return {}

    def values(self, server_round: int) -> dict[str, Scalar]:
        """Return further values for every client of the cohort, by name."""
        return {}

    def for_new_clients(self) -> dict[str, Vector]:
        """Return what a client that never trains gets beside the weights, by name."""
        return {}

    def record(self) -> dict[str, Any]:
        """Return what to record of the last round, for ``metrics.jsonl``, key "strategy"."""
        return {}

    def participation(self, replies: Sequence[Reply]) -> float:
        """Return the fraction of all clients whose updates are in the replies.

        A mean says how many clients it is of where each weighs 1; where they weigh by examples,
        those that did not answer are counted.
        """
        if self.settings.weighting == "clients":
            return sum(reply.weight for reply in replies) / self.population
        answered = self.cohort if self.traits.takes_mean else len(replies)
        return answered / self.population

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message per client of the cohort, all with the same content."""
        self._sent = next(iter(arrays.values())).numpy()
        config[WEIGHTING] = self.settings.weighting
        for name, value in self.values(server_round).items():
            config[name] = value
        messages = list(super().configure_train(server_round, arrays, config, grid))
        nodes = grid.get_node_ids()
        population = len(nodes) if isinstance(nodes, Sized) else sum(1 for _ in nodes)
        self.cohort, self.population = len(messages), population
        for name, vector in self.broadcast(server_round, self._sent).items():
            # All messages carry one and the same content.
            messages[0].content[name] = record_of(vector)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the new global weights, and the mean of the clients' numbers."""
        read = [reply_of(message) for message in replies]
        if not read:
            return None, None
        new = self.step(server_round, self._sent, read)
        numbers = {
            name: mean(read, lambda reply, name=name: reply.metrics[name])  # type: ignore[misc]
            for name in read[0].metrics
        }
        return record_of(new), MetricRecord(numbers)

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from round to round."""
        return attributes_state(self, self._not_state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)


def mean(replies: Sequence[Reply], of: Callable[[Reply], Any] = lambda reply: reply.weights) -> Any:
    """Return Σ wᵢ x(i) / Σ wᵢ over replies, summed in double precision and in their order."""
    total = sum(reply.weight for reply in replies)
    summed = sum(reply.weight * np.asarray(of(reply), np.float64) for reply in replies)
    return summed / total


def updates(weights: Vector, replies: Sequence[Reply]) -> Vector:
    """Return (clients, parameters) float64: how far each client went from the weights sent."""
    return np.stack([np.asarray(reply.weights, np.float64) - weights for reply in replies])


def shares(replies: Sequence[Reply]) -> Vector:
    """Return (clients,) float64: each client's weight in a mean, which add up to 1."""
    weights = np.array([reply.weight for reply in replies], np.float64)
    return np.asarray(weights / weights.sum())


def _public(setup: Setup) -> Iterator[str]:
    """Tell whether there are public examples for a strategy that works on them."""
    settings, public = setup.scenario, setup.federation.public
    if public is None:
        yield (
            f"strategy.name: '{settings.strategy.name}' distils on public examples, and there are "
            "none; add a table [data.public] with examples = 1000, say"
        )


def record_of(vector: Vector) -> ArrayRecord:
    """Return a record that carries a vector as float32."""
    with np.errstate(over="ignore"):
        return ArrayRecord({"weights": Array(np.ascontiguousarray(vector, dtype=np.float32))})


def reply_of(message: Message) -> Reply:
    """Return what a message carries; its first array record holds the weights."""
    weight, numbers = weight_and_numbers(message.content)
    vectors = {
        key: next(iter(record.values())).numpy()
        for key, record in records_of(message.content, ArrayRecord).items()
    }
    first = next(iter(vectors))
    return Reply(
        client=message.metadata.src_node_id,
        weight=weight,
        weights=vectors.pop(first),
        arrays=vectors,
        metrics={name: value for (_, name), value in numbers.items()},
    )
