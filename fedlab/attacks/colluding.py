"""A strategy some of whose clients collude: their replies are replaced before it sees them.

This wrapper stands between engine and strategy and simulates the attackers' collusion; the wrapped
strategy receives the replies that they would have sent. Since the attackers know others' updates,
it needs each reply even if the strategy takes a mean, which is then computed here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab import seeding
from fedlab.algorithm.strategy import own_traits
from fedlab.algorithm.vector_strategy import record_of
from fedlab.algorithm.wrapper import StrategyWrapper, mean_reply
from fedlab.attacks.adversary import Adversary
from fedlab.attacks.attack import CollusiveAttack, ObservedUpdates, Vector
from fedlab.wire.protocol import client_of
from fedlab.wire.records import records_of


class ColludingClients(StrategyWrapper):
    """A strategy with colluding clients.

    Args:
        strategy: The strategy.
        adversary: The colluding clients and their attack.
        seed: The scenario's seed.
        parameters: How many parameters travel, if anything follows them; attackers leave that as
            it is.
    """

    def __init__(
        self,
        strategy: Strategy,
        adversary: Adversary,
        seed: int,
        parameters: int | None = None,
    ) -> None:
        super().__init__(strategy)
        assert isinstance(adversary.attack, CollusiveAttack)
        self._attack = adversary.attack
        self._adversary = adversary
        self._seed = seed
        self._part = slice(0, parameters)
        self._sent: Vector = np.empty(0, np.float32)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages."""
        self._sent = _weights(arrays)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Replace the malicious clients' replies, then return the wrapped strategy's result."""
        answered = list(replies)
        if self._adversary.is_active(server_round):
            answered = self._exchanged(server_round, answered)
        if own_traits(self.strategy).takes_mean and answered:
            answered = [mean_reply(answered)]
        return super().aggregate_train(server_round, answered)

    def _exchanged(self, server_round: int, replies: Sequence[Message]) -> list[Message]:
        """Return the replies, those of malicious clients with the update that they agreed on."""
        clients = [client_of(reply.metadata.src_node_id) for reply in replies]
        malicious = [client in self._adversary.clients for client in clients]
        if all(malicious) or not any(malicious):
            return list(replies)
        sent = self._sent[self._part]
        updates = np.stack([_weights(_first(r.content))[self._part] - sent for r in replies])
        observed = ObservedUpdates(
            updates[malicious],
            updates[np.logical_not(malicious)],
            tuple(c for c, is_bad in zip(clients, malicious, strict=True) if not is_bad),
        )
        draw = seeding.numpy_generator(self._seed, "collusion", server_round)
        agreed = sent + self._attack.agreed(observed, draw)
        return [
            _with_weights(reply, agreed) if is_bad else reply
            for reply, is_bad in zip(replies, malicious, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the strategy and of the attack."""
        return super().state_dict() | {"attack": self._attack.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self._attack.load_state_dict(state["attack"])


def _first(content: RecordDict) -> ArrayRecord:
    return next(iter(records_of(content, ArrayRecord).values()))


def _weights(record: ArrayRecord) -> Vector:
    return np.asarray(next(iter(record.values())).numpy(), np.float64)


def _with_weights(reply: Message, parameters: Vector) -> Message:
    """Return a copy of a reply with other parameters."""
    changed = copy.copy(reply)
    content = reply.content.copy()
    weights = np.concatenate([parameters, _weights(_first(content))[len(parameters) :]])
    content[next(iter(records_of(content, ArrayRecord)))] = record_of(weights)
    changed.content = content
    return changed
