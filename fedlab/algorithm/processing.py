"""Update processors: what happens to an update on its way from a client to the server.

Clipping, compression, masking and noise are no concern of an algorithm's. A scenario lists them in
order, as tables ``[[updates]]``; each is one file that holds both sides. On the client a processor
gets the change of the parameters, as the processor before it left it, and on the server the chain
is undone in reverse. Running statistics, and vectors that an algorithm sends beside its weights,
travel as they are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch

from fedlab import seeding
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import attributes_state, traits_of
from fedlab.models.layout import Layout
from fedlab.settings import Settings
from fedlab.training.task import Arrays, Assignment, Encoded, Scalar, Update
from fedlab.wire.protocol import STATISTICS, update_key


class ProcessorSettings(Settings):
    """Keys of a table of ``[[updates]]`` that every processor has."""

    name: str


@dataclass(frozen=True)
class Received:
    """What a client was sent, as far as a processor may look at it.

    Attributes:
        weights: (parameters,) the parameters that travelled to the client; not to be changed.
        round: The server's round, from 1.
        config: All values that the server sent.
        values: Those that the processor's own :meth:`UpdateProcessor.begin_round` sent.
        kept: What the processor kept of this client, by name; empty on the server.
    """

    weights: torch.Tensor
    round: int
    config: Mapping[str, Scalar]
    values: Mapping[str, Scalar]
    kept: Arrays


@dataclass
class Payload:
    """What a processor makes of an update.

    Attributes:
        values: (m,) what the next processor gets, or what travels.
        along: Further tensors that travel, such as indices and scales, by name.
        metrics: Numbers for the strategy, by name.
        kept: What the processor keeps of this client for its next round, by name.
    """

    values: torch.Tensor
    along: Arrays = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    kept: Arrays = field(default_factory=dict)


class UpdateProcessor:
    """Both sides of something that happens to updates on their way.

    What :meth:`decode` returns depends on its arguments alone, so that any process may call it: a
    worker before it adds up its clients, or the server.

    Attributes:
        settings: The keys of its table in ``[[updates]]``.
        gives: "values" where :meth:`encode` leaves float32 numbers, which another processor can
            take; "codes" where it leaves anything else: then it is the last one.
        decodes_sums: Whether a weighted mean of payloads, decoded, is the mean of the updates
            (encoding is linear). Where all processors of a scenario say so and the strategy takes a
            mean, payloads are added up as they are, and only their mean is decoded.
    """

    Settings: ClassVar[type[ProcessorSettings]] = ProcessorSettings
    gives: ClassVar[Literal["values", "codes"]] = "values"
    decodes_sums: ClassVar[bool] = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def begin_round(self, server_round: int) -> dict[str, Scalar]:
        """Return values for the clients of a round; called on the server.

        What is set as an attribute here (numbers, arrays) is kept in checkpoints.
        """
        return {}

    @abstractmethod
    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return what travels in the place of an update; called on the client.

        Args:
            update: (n,) float32, not to be changed.
            received: What the client was sent, and what this processor kept.
            generator: The source of randomness for this client, round and processor.
        """
        raise NotImplementedError

    @abstractmethod
    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return (n,) float32, the update that a payload stands for.

        Args:
            payload: Its values and what travelled along.
            received: What the client was sent.
        """
        raise NotImplementedError

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence for each reason why it cannot work with the other parts."""
        yield from ()

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from round to round on the server."""
        return attributes_state(self, frozenset({"settings"}))  # type: ignore[arg-type]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)


class UpdateChain:
    """The update processors of a scenario, in order.

    Args:
        processors: The first one gets the update as the client algorithm left it.
        layout: Where each tensor stands in the vectors.
        sends_weights: Whether clients send weights, whose change is processed; else what they send
            in their place is the change.
        seed: The scenario's.
    """

    def __init__(
        self,
        processors: Sequence[UpdateProcessor],
        layout: Layout,
        sends_weights: bool,
        seed: int,
    ) -> None:
        self.processors = tuple(processors)
        self._count = layout.wire_parameters
        self._held = layout.held
        self._end = layout.wire_size - layout.held
        self._bytes = 4 * self._end
        self._sends_weights = sends_weights
        self._seed = seed

    def __len__(self) -> int:
        return len(self.processors)

    def __bool__(self) -> bool:
        """Return whether anything but the weights as they are travels."""
        return bool(self.processors) or self._held > 0

    @property
    def decodes_sums(self) -> bool:
        """Return whether sums of payloads are decoded, rather than each payload."""
        return bool(self) and all(p.decodes_sums for p in self.processors)

    def begin_round(self, server_round: int) -> dict[str, Scalar]:
        """Return what processors send to the clients of a round, by config key."""
        return {
            update_key(number, name): value
            for number, processor in enumerate(self.processors)
            for name, value in processor.begin_round(server_round).items()
        }

    def encode(self, update: Update, assignment: Assignment) -> Encoded:
        """Return an update as it travels; its metrics and its state gain what processors add."""
        values = update.weights[: self._count] - self._base(assignment.wire)
        others: Arrays = {}
        if self._end > self._count:
            others[STATISTICS] = update.weights[self._count : self._end]
        state = dict(update.state)
        for number, processor in enumerate(self.processors):
            draw = seeding.torch_generator(
                self._seed, "update processor", number, assignment.round, assignment.client
            )
            payload = processor.encode(values, self._received(number, assignment), draw)
            values = payload.values
            others |= {update_key(number, name): t for name, t in payload.along.items()}
            state |= {update_key(number, name): t for name, t in payload.kept.items()}
            update.metrics.update(payload.metrics)
        update.state = state
        return Encoded(values, others)

    def decode(self, encoded: Encoded, assignment: Assignment) -> torch.Tensor:
        """Return (wire_size,) the weights that an encoded update stands for.

        Args:
            encoded: What travelled.
            assignment: What the client was sent.
        """
        values = encoded.values
        for number in reversed(range(len(self.processors))):
            along = _own(encoded.others, number)
            received = self._received(number, assignment)
            values = self.processors[number].decode(Payload(values, along), received)
        weights = self._base(assignment.wire) + values
        statistics = encoded.others.get(STATISTICS)
        parts = [weights] if statistics is None else [weights, statistics]
        if self._held:
            parts.append(assignment.wire[self._end :])
        return torch.cat(parts) if len(parts) > 1 else weights

    def saved(self, encoded: Encoded) -> int:
        """Return how many bytes fewer travel than of the weights as they are."""
        return self._bytes - encoded.nbytes

    def state_dict(self) -> list[dict[str, Any]]:
        """Return what changes from round to round on the server, of each processor."""
        return [processor.state_dict() for processor in self.processors]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Continue from a state that :meth:`state_dict` returned."""
        for processor, state in zip(self.processors, states, strict=True):
            processor.load_state_dict(state)

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield what speaks against the processors, one by one and together."""
        names = ", ".join(f"'{p.settings.name}'" for p in self.processors)
        if self.processors and not setup.network.model.layout.wire_parameters:
            yield f"updates: {names} would process the weights that clients send, and none travel"
        if self.processors and self.decodes_sums and not traits_of(setup.strategy).takes_mean:
            yield (
                f"updates: of what {names} sends only the sum over clients can be read, and "
                f"strategy '{setup.scenario.strategy.name}' looks at each client's update; take "
                "one that takes a mean, such as 'fedavg'"
            )
        for processor in self.processors:
            yield from processor.objections(setup)

    def _base(self, wire: torch.Tensor) -> torch.Tensor:
        """Return what the change is counted from; without processors, weights travel whole."""
        counts = self.processors and self._sends_weights
        return wire[: self._count] if counts else torch.zeros(self._count)

    def _received(self, number: int, assignment: Assignment) -> Received:
        config = assignment.config
        return Received(
            assignment.wire[: self._count],
            assignment.round,
            config,
            _own(config, number),
            _own(assignment.state, number),
        )


def _own(content: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return what stands under a processor's keys, by its own names."""
    prefix = update_key(number, "")
    return {k.removeprefix(prefix): value for k, value in content.items() if k.startswith(prefix)}
