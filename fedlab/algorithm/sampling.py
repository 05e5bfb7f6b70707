"""Drawing a cohort at a price that depends on the cohort, not on the population.

Flower's FedAvg lists the ids of all nodes twice a round before it draws some of them: with a
million clients that takes longer than many a round.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg


class CohortSampling(FedAvg):
    """FedAvg that draws from a range of node ids without listing it.

    The draw is the one that Flower makes, for the same seed. A class that calls FedAvg's methods by
    ``super()`` gets it by having this class behind it among its bases. A grid whose nodes come and
    go, or are numbered at random, is left to Flower.
    """

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message per client of a cohort, all with the same content."""
        drawn = self._drawn(grid, self.fraction_train, self.min_train_nodes)
        if drawn is None:
            return super().configure_train(server_round, arrays, config, grid)
        return self._messages(server_round, arrays, config, drawn, MessageType.TRAIN)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message per client that evaluates, all with the same content."""
        drawn = self._drawn(grid, self.fraction_evaluate, self.min_evaluate_nodes)
        if drawn is None:
            return super().configure_evaluate(server_round, arrays, config, grid)
        return self._messages(server_round, arrays, config, drawn, MessageType.EVALUATE)

    def _drawn(self, grid: Grid, fraction: float, least: int) -> list[int] | None:
        """Return the nodes of a cohort, or None where that is left to Flower."""
        nodes = grid.get_node_ids()
        if fraction == 0 or not isinstance(nodes, range):
            return None
        size = max(int(len(nodes) * fraction), least)
        if len(nodes) < max(size, self.min_available_nodes):
            return None
        return random.sample(nodes, size)

    def _messages(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        nodes: list[int],
        message_type: str,
    ) -> list[Message]:
        config["server-round"] = server_round
        content = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})
        return [
            Message(content=content, message_type=message_type, dst_node_id=node) for node in nodes
        ]
