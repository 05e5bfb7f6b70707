"""A run's rounds again, in which the places of some clients in the cohorts stay empty.

The others are sent what the run would have sent them, and draw what they drew: what differs is due
to those who are left out.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from flwr.app import Message, MessageType

from fedlab.engine.reports import Exchange
from fedlab.run.callbacks import Callback
from fedlab.run.parts import Parts
from fedlab.run.rounds import Rounds
from fedlab.wire.protocol import client_of


@dataclass
class Cost:
    """What training took, evaluation apart.

    Attributes:
        rounds: Rounds of federated training.
        trainings: How often a client trained.
        steps: Local steps of all clients.
        bytes: That travelled, down and up.
        seconds: Of training and aggregation.
    """

    rounds: int = 0
    trainings: int = 0
    steps: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{name: value + getattr(other, name) for name, value in vars(self).items()})


class Without(Rounds):
    """Rounds in which some clients' places in the cohort stay empty.

    Args:
        parts: What rounds are run with.
        gone: The clients that are left out; none: the run as it was.
        callbacks: What watches.

    Attributes:
        cost: What the rounds took so far.
    """

    def __init__(
        self, parts: Parts, gone: Collection[int], callbacks: Iterable[Callback] = ()
    ) -> None:
        super().__init__(parts, callbacks)
        self.cost = Cost()
        self._gone = frozenset(gone)

    def only(self, numbers: Iterable[int]) -> None:
        """Run the rounds of these numbers, one after the other, from the present weights."""
        for number in numbers:
            self._one_round(number)

    def asked(self, server_round: int) -> tuple[list[Message], list[Message], list[Message]]:
        """Return the messages of the round that comes next, but for those who are left out."""
        every, messages, dropped = super().asked(server_round)
        return self._others(every), self._others(messages), self._others(dropped)

    def _others(self, messages: Iterable[Message]) -> list[Message]:
        return [m for m in messages if client_of(m.metadata.dst_node_id) not in self._gone]

    def _train(self, server_round: int) -> tuple[Exchange, int, int]:
        start = time.perf_counter()
        trained = super()._train(server_round)
        self.cost += Cost(rounds=1, seconds=time.perf_counter() - start)
        return trained

    def _exchange(
        self, messages: Sequence[Message], server_round: int, phase: str, combine: bool
    ) -> Exchange:
        exchange = super()._exchange(messages, server_round, phase, combine)
        if phase == MessageType.TRAIN:
            self.cost += Cost(
                trainings=len(exchange.reports),
                steps=int(sum(report.metrics.get("steps", 0) for report in exchange.reports)),
                bytes=exchange.bytes_down + exchange.bytes_up,
            )
        return exchange

    def _check_replies(self, server_round: int, trained: Exchange, sent: int) -> None:
        # Where nobody else was drawn, the weights stay as they are.
        if sent or not self._gone:
            super()._check_replies(server_round, trained, sent)

    def _aggregate(self, server_round: int, replies: Sequence[Message]) -> None:
        if replies or not self._gone:
            super()._aggregate(server_round, replies)
