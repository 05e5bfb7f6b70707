"""The update processors of a scenario, composed: in order on the client, undone in reverse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from fedlab import seeding
from fedlab.algorithm.processing import Payload, Received, UpdateProcessor
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import traits_of
from fedlab.models.layout import Layout
from fedlab.training.task import Arrays, Assignment, Encoded, Scalar, Update
from fedlab.wire.packing import packed, unpacked
from fedlab.wire.protocol import STATISTICS, update_key


class UpdateChain:
    """The update processors of a scenario, in order.

    Args:
        processors: The first one gets the update as the client algorithm left it.
        layout: Where each tensor stands in the vectors.
        sends_weights: Whether clients send weights, whose change is processed; else what they send
            in their place is the change.
        seed: The scenario's.

    Attributes:
        processors: They.
        held: How many values at the end of the wire vector the server alone changes.
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
        for processor in self.processors:
            processor.begin(layout)
        self._count = layout.wire_parameters
        self.held = layout.held
        self._end = layout.wire_size - layout.held
        self._bytes = 4 * self._end
        self._sends_weights = sends_weights
        self.seed = seed

    def __len__(self) -> int:
        return len(self.processors)

    def __bool__(self) -> bool:
        """Return whether anything but the weights as they are travels."""
        return bool(self.processors) or self.held > 0

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
            if processor.takes == "bytes":
                travelling = {n: t for n, t in others.items() if n != STATISTICS}
                values = packed(values, travelling)
                others = {n: t for n, t in others.items() if n == STATISTICS}
            draw = seeding.torch_generator(
                self.seed, "update processor", number, assignment.round, assignment.client
            )
            payload = processor.encode(values, self._received(number, assignment), draw)
            values = payload.values
            others |= {update_key(number, name): t for name, t in payload.along.items()}
            state |= {update_key(number, name): t for name, t in payload.kept.items()}
            update.metrics.update(payload.metrics)
        update.state = state
        return Encoded(values, others)

    def decode(
        self, encoded: Encoded, assignment: Assignment, is_mean: bool = False
    ) -> torch.Tensor:
        """Return (wire_size,) the weights that an encoded update stands for.

        Args:
            encoded: What travelled.
            assignment: What the client was sent.
            is_mean: Whether it is the mean of all clients' of a round, on the server.
        """
        values, others = encoded.values, encoded.others
        for number in reversed(range(len(self.processors))):
            processor = self.processors[number]
            payload = Payload(values, _own(others, number))
            decode = processor.decode_mean if is_mean else processor.decode
            values = decode(payload, self._received(number, assignment))
            if processor.takes == "bytes":
                values, travelled = unpacked(values)
                others = others | travelled
        weights = self._base(assignment.wire) + values
        statistics = encoded.others.get(STATISTICS)
        parts = [weights] if statistics is None else [weights, statistics]
        if self.held:
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
