"""Update processors: what happens to an update on its way from a client to the server.

Clipping, compression, masking and noise are no concern of an algorithm's. A scenario lists them in
order, as tables ``[[updates]]``; each is one file that holds both sides. On the client a processor
gets the change of the parameters, as the processor before it left it, and on the server the chain
is undone in reverse. Running statistics, and vectors that an algorithm sends beside its weights,
travel as they are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import attributes_state
from fedlab.models.layout import Layout
from fedlab.settings import Settings
from fedlab.training.task import Arrays, Scalar


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
        gives: What :meth:`encode` leaves: an "update", a float32 number for each parameter in
            their order; other float32 "values"; or "codes", anything else.
        takes: What it can be given: an "update"; any float32 "values"; or "bytes", whatever travels
            so far, as one vector of bytes.
        decodes_sums: Whether a weighted mean of payloads, decoded, is the mean of the updates
            (encoding is linear). Where all processors of a scenario say so and the strategy takes a
            mean, payloads are added up as they are, and only their mean is decoded.
        works_on_downlink: Whether it may also work on what clients are sent (``[[downlink]]``).
        layout: Where each tensor stands in an update.
    """

    Settings: ClassVar[type[ProcessorSettings]] = ProcessorSettings
    gives: ClassVar[Literal["update", "values", "codes"]] = "values"
    takes: ClassVar[Literal["update", "values", "bytes"]] = "values"
    decodes_sums: bool = False
    works_on_downlink: ClassVar[bool] = True
    layout: Layout

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def begin(self, layout: Layout) -> None:
        """Take where each tensor stands in the vectors; called once, on either side."""
        self.layout = layout

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

    def decode_mean(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return (n,) float32, the update that the mean of all clients' payloads stands for.

        It is called once a round, on the server, where sums are decoded (``decodes_sums``), and may
        keep attributes there, such as an error; usually it is the same as :meth:`decode`.
        """
        return self.decode(payload, received)

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence for each reason why it cannot work with the other parts."""
        yield from ()

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from round to round on the server."""
        return attributes_state(self, frozenset({"settings", "decodes_sums"}))  # type: ignore[arg-type]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)
