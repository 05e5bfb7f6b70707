"""The base of strategies that stand around another one."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.wire.sums import WeightedSum, contribution


class StrategyWrapper(Strategy):
    """A strategy that does what the wrapped one does, but for what a subclass changes.

    Attributes:
        strategy: The wrapped strategy, an explicit state (``state_dict``) included.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages."""
        return self.strategy.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return what the wrapped strategy makes of the replies."""
        return self.strategy.aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the wrapped strategy's messages."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Return what the wrapped strategy makes of the replies."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def summary(self) -> None:
        """Log the wrapped strategy's settings."""
        self.strategy.summary()

    def record(self) -> dict[str, Any]:
        """Return what the wrapped strategy records of the last round."""
        recorded: dict[str, Any] = getattr(self.strategy, "record", dict)()
        return recorded

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from round to round in the wrapped strategy."""
        return {"strategy": getattr(self.strategy, "state_dict", dict)()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned."""
        if state["strategy"]:
            self.strategy.load_state_dict(state["strategy"])  # type: ignore[attr-defined]


def mean_reply(replies: Sequence[Message]) -> Message:
    """Return the weighted mean of replies, one or more, as a reply of the first one's client."""
    total = WeightedSum()
    for reply in replies:
        total.add(*contribution(reply.content))
    mean = copy.copy(replies[0])
    mean.content = total.mean()
    return mean
