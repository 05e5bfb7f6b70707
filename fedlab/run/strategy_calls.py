"""The calls of a strategy's methods: with their own random draws, and their results checked.

What goes wrong in one of them is told as the strategy's fault (:mod:`fedlab.run.strategy_faults`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from fedlab import seeding
from fedlab.algorithm.strategy import parts_of, traits_of
from fedlab.algorithm.vector_strategy import record_of
from fedlab.run.parts import Parts
from fedlab.run.strategy_faults import checked_messages, checked_state, new_weights, told
from fedlab.wire.protocol import ARRAYS, CONFIG, LAYOUT, PHASE, ROUND, SQUARED_CHANGE, node_of

Kind = Literal["train", "evaluate"]


class StrategyCalls:
    """Calls the strategy of a run, whichever it is in the present phase.

    Its methods raise :class:`~fedlab.run.strategy_faults.StrategyFault` where the strategy raises,
    or returns what no round can go on with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def configure(self, kind: Kind, server_round: int, arrays: ArrayRecord) -> list[Message]:
        """Return the messages to the clients that are to train, or to be evaluated.

        Args:
            kind: Which of the two.
            server_round: The round.
            arrays: The global weights.
        """
        parts, config = self._parts, self._config()
        if kind == "train" and parts.scenario.evaluation.update_norms:
            config[SQUARED_CHANGE] = True
        if kind == "train" and parts.engine.updates:
            with seeding.scope(parts.scenario.seed, "update processors", server_round):
                values = parts.engine.updates.begin_round(server_round)
            for key, value in values.items():
                config[key] = value
        configure = getattr(parts.strategy, f"configure_{kind}")
        with self._drawing(f"configure {kind}", f"configure_{kind}", server_round):
            messages = configure(server_round, arrays, config, parts.engine)
            in_parts = traits_of(parts.strategy).sub_models
            return checked_messages(messages, self._size, kind, in_parts)

    def to_unseen(self, server_round: int, arrays: ArrayRecord) -> list[Message]:
        """Return the messages to the clients that never train, for their evaluation.

        The strategy does not sample them; it may say what a new client gets beside the weights.
        """
        config = self._config()
        config[ROUND] = server_round
        content = RecordDict({ARRAYS: arrays, CONFIG: config})
        with self._told("for_new_clients", server_round):
            for part in parts_of(self._parts.strategy):
                for name, vector in getattr(part, "for_new_clients", dict)().items():
                    content[name] = record_of(vector)
        unseen = self._parts.engine.federation.unseen_clients
        return [Message(content, node_of(client), MessageType.EVALUATE) for client in unseen]

    def _config(self) -> ConfigRecord:
        """Return the values that every message of the present phase carries."""
        parts = self._parts
        config = ConfigRecord({LAYOUT: parts.network.model.layout.fingerprint})
        if parts.phase.phase is not None:
            config[PHASE] = parts.phase.phase.number
        return config

    def aggregate(
        self, server_round: int, replies: Sequence[Message]
    ) -> tuple[Array, np.ndarray[Any, Any]] | None:
        """Return the new global weights, or None where the strategy returns none.

        Returns:
            The array as it is, and (wire_size,) float32 its values.
        """
        with self._drawing("aggregate", "aggregate_train", server_round):
            result = self._parts.strategy.aggregate_train(server_round, replies)
            return new_weights(result, self._size)

    def aggregate_evaluated(self, server_round: int, replies: Sequence[Message]) -> None:
        """Let the strategy see what clients found on their own parts."""
        with self._drawing("aggregate evaluate", "aggregate_evaluate", server_round):
            self._parts.strategy.aggregate_evaluate(server_round, replies)

    def record(self, server_round: int) -> dict[str, Any]:
        """Return the figures of its own that the strategy records of a round."""
        with self._told("record", server_round):
            return checked_state(getattr(self._parts.strategy, "record", dict)(), "record")

    def state(self, server_round: int) -> dict[str, Any]:
        """Return what a checkpoint keeps of the strategy."""
        with self._told("state_dict", server_round):
            return checked_state(getattr(self._parts.strategy, "state_dict", dict)())

    def restore(self, server_round: int, state: dict[str, Any]) -> None:
        """Give the strategy what a checkpoint kept of it, if anything."""
        if state:
            with self._told("load_state_dict", server_round):
                self._parts.strategy.load_state_dict(state)  # type: ignore[attr-defined]

    @property
    def _size(self) -> int:
        return self._parts.network.model.layout.wire_size

    @contextmanager
    def _drawing(self, purpose: str, method: str, server_round: int) -> Iterator[None]:
        """Let what is called draw from the seed, the purpose and the round alone."""
        seed = self._parts.scenario.seed
        with seeding.scope(seed, purpose, server_round), self._told(method, server_round):
            yield

    def _told(self, method: str, server_round: int) -> Any:
        names = self._parts.phase
        return told(names.strategy.name, names.client.name, method, server_round)
