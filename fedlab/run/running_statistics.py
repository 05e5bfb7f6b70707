"""Running statistics of batch norm travel with the parameters; a strategy sees parameters alone.

A momentum, an adaptive step, noise or a distance is meant for parameters. Running variances become
negative by it, and statistics that move by hundreds drown what the parameters do. So a strategy,
whoever wrote it, is given parameters and returns parameters; what it sends is completed with the
statistics, and those that clients reply with are combined beside it.

    a message, a reply:   | parameters | running statistics |
                            strategy     mean or median
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.algorithm.strategy import Traits, own_traits, traits_of
from fedlab.algorithm.wrapper import StrategyWrapper
from fedlab.models.layout import Layout
from fedlab.run.strategy_faults import weights_of
from fedlab.wire.records import LentArray, records_of, without_copying
from fedlab.wire.sums import weight_and_numbers

Vector = np.ndarray[Any, np.dtype[Any]]
TrainOnRoot = Callable[[int, Vector], Vector]
STATE = "of-parameters"
"""Key of the strategy's state in checkpoints; older ones hold it as it is, of whole vectors."""


def beside(strategy: Strategy, layout: Layout) -> Strategy:
    """Return a strategy that sees parameters alone; itself where no statistics travel.

    Args:
        strategy: The strategy; one whose trait ``statistics`` is "own" is returned as it is.
        layout: Where each tensor stands in the vectors.
    """
    travels = layout.wire_size > layout.wire_parameters
    if not travels or traits_of(strategy).statistics == "own":
        return strategy
    return StatisticsBeside(strategy, layout)


class StatisticsBeside(StrategyWrapper):
    """A strategy that is shown parameters; running statistics are combined beside it.

    They become the clients' mean or median, as the strategy's trait ``statistics`` says. Where it
    keeps the weights as they are (it returns None), statistics stay as well.

    Args:
        strategy: The strategy.
        layout: Where each tensor stands in the vectors.
    """

    def __init__(self, strategy: Strategy, layout: Layout) -> None:
        super().__init__(strategy)
        self._count, self._size = layout.wire_parameters, layout.wire_size
        self._rule = traits_of(strategy).statistics
        self._statistics: Vector = np.empty(0, np.float32)

    @property
    def traits(self) -> Traits:
        """Return what the strategy says of itself."""
        return own_traits(self.strategy)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the strategy's messages, completed with the running statistics."""
        return self._completed(super().configure_train, server_round, arrays, config, grid)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the strategy's messages, completed with the running statistics."""
        return self._completed(super().configure_evaluate, server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return what the strategy makes of the parameters, with the combined statistics."""
        answered = [reply for reply in replies if reply.has_content()]
        statistics = self._combined(answered)
        for reply in answered:
            reply.content = self._of_parameters(reply.content)
        new, metrics = super().aggregate_train(server_round, answered)
        if new is None:
            return None, metrics
        values = weights_of(new, self._count)
        whole = np.concatenate([np.asarray(values, np.float32), statistics])
        return ArrayRecord({next(iter(new)): Array(whole)}), metrics

    def trained_on_root(self, train: TrainOnRoot) -> TrainOnRoot:
        """Return training on the server's own data from parameters to parameters.

        Args:
            train: The same with whole vectors, given the round and the weights to begin with.
        """

        def trained(server_round: int, weights: Vector) -> Vector:
            begin = np.concatenate([np.asarray(weights, np.float32), self._statistics])
            return train(server_round, begin)[: self._count]

        return trained

    def state_dict(self) -> dict[str, Any]:
        """Return the strategy's state, marked as one of parameters."""
        return {STATE: super().state_dict()["strategy"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned.

        That of an older checkpoint, whose vectors hold statistics as well, is cut to parameters.
        """
        own = state[STATE] if STATE in state else self._cut(state)
        super().load_state_dict({"strategy": own})

    def _completed(
        self,
        configure: Callable[..., Iterable[Message]],
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> list[Message]:
        """Let the strategy configure a round on parameters; return its messages, completed."""
        ((name, array),) = arrays.items()
        values = without_copying(array)
        self._statistics = values[self._count :]
        lent = LentArray(values[: self._count])
        messages = list(configure(server_round, ArrayRecord({name: lent}), config, grid))
        known: dict[int, tuple[RecordDict, RecordDict]] = {}
        for message in messages:
            content = message.content
            # The strategy may keep its own content for another round.
            if id(content) not in known:
                known[id(content)] = content, self._whole(content, lent, arrays)
            message.content = known[id(content)][1]
        return messages

    def _whole(self, content: RecordDict, lent: LentArray, arrays: ArrayRecord) -> RecordDict:
        """Return a message's content with whole weights in the place of parameters."""
        key, record = next(iter(records_of(content, ArrayRecord).items()), ("", None))
        if record is None or not len(record):
            return content
        whole = content.copy()
        name, array = next(iter(record.items()))
        if array is lent:
            whole[key] = arrays
        elif tuple(array.shape) == (self._count,):
            parameters = np.asarray(without_copying(array), np.float32)
            joined = Array(np.concatenate([parameters, self._statistics]))
            whole[key] = ArrayRecord({name: joined})
        return whole

    def _combined(self, replies: Sequence[Message]) -> Vector:
        """Return (statistics,) float32, the mean or the median of what clients sent."""
        sent = [_first(reply.content)[self._count :] for reply in replies]
        if len(sent) < 2:
            return np.asarray(sent[0] if sent else self._statistics, np.float32)
        if self._rule == "median":
            return np.asarray(np.median(np.stack(sent).astype(np.float64), axis=0), np.float32)
        shares = [weight_and_numbers(reply.content)[0] for reply in replies]
        total = np.zeros(self._size - self._count)
        for share, statistics in zip(shares, sent, strict=True):
            total += share * statistics.astype(np.float64)
        return np.asarray(total / sum(shares), np.float32)

    def _of_parameters(self, content: RecordDict) -> RecordDict:
        """Return a reply's content without its statistics."""
        cut = content.copy()
        key, record = next(iter(records_of(content, ArrayRecord).items()))
        cut[key] = ArrayRecord({next(iter(record)): LentArray(_first(content)[: self._count])})
        return cut

    def _cut(self, state: Any) -> Any:
        """Return a strategy's state with parameters in the place of whole vectors."""
        if isinstance(state, dict):
            return {name: self._cut(part) for name, part in state.items()}
        if isinstance(state, list | tuple):
            return [self._cut(part) for part in state]
        if isinstance(state, ArrayRecord):
            return ArrayRecord({n: Array(self._cut(a.numpy())) for n, a in state.items()})
        is_whole = isinstance(state, np.ndarray) and state.shape == (self._size,)
        return state[: self._count].copy() if is_whole else state


def _first(content: RecordDict) -> Vector:
    """Return the values of a reply's first array, where they lie."""
    record = next(iter(records_of(content, ArrayRecord).values()))
    return without_copying(next(iter(record.values())))
