"""FedMedian and FedTrimmedAvg: each coordinate's median, or mean without its extremes.

On the CPU they are Flower's classes unchanged; on a device the same is computed there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord
from flwr.serverapp import strategy as flower

from fedlab.algorithm import robust
from fedlab.algorithm.vector_strategy import Vector
from fedlab.wire.records import records_of, without_copying
from strategies.flower import adopt

if TYPE_CHECKING:
    from flwr.serverapp.strategy import FedAvg as Base
else:
    Base = object


class OnDevice(robust.OnServerDevice, Base):
    """Combines each coordinate of the replies on the server's device, where it has one."""

    def combined(self, points: list[Vector]) -> Vector:
        """Return (d,) the new weights from n vectors, (d,)."""
        raise NotImplementedError

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the combined weights, and the mean of the clients' numbers."""
        if not robust.is_used(self._device):
            return super().aggregate_train(server_round, replies)
        valid, _ = self._check_and_log_replies(replies, is_train=True)
        if not valid:
            return None, None
        contents = [message.content for message in valid]
        records = [next(iter(records_of(content, ArrayRecord).values())) for content in contents]
        ((name, _),) = records[0].items()
        new = self.combined([_values(record[name]) for record in records])
        metrics = self.train_metrics_aggr_fn(contents, self.weighted_by_key)
        return ArrayRecord({name: Array(new.astype(np.float32))}), metrics


class FedMedian(OnDevice, flower.FedMedian):
    """FedMedian, on the server's device."""

    def combined(self, points: list[Vector]) -> Vector:
        """Return the median of each coordinate."""
        return robust.coordinate_median(points, self._device)


class FedTrimmedAvg(OnDevice, flower.FedTrimmedAvg):
    """FedTrimmedAvg, on the server's device."""

    def combined(self, points: list[Vector]) -> Vector:
        """Return the mean of each coordinate without ⌊β n⌋ values at either end."""
        return robust.trimmed_mean(points, int(self.beta * len(points)), self._device)


def _values(array: Any) -> Vector:
    return np.asarray(without_copying(array), np.float32)


adopt(
    "fedmedian",
    FedMedian,
    "FedMedian: the median of each coordinate (Yin et al. 2018)",
    """
    Each coordinate of x becomes the median of the yₖ's, whatever their nₖ (Algorithm 1, option I).
    """,
    statistics="median",
)
adopt(
    "fedtrimmedavg",
    FedTrimmedAvg,
    "FedTrimmedAvg: the mean of each coordinate without its extremes (Yin et al. 2018)",
    """
    Each coordinate of x becomes the mean of the yₖ's, whatever their nₖ, without the ⌊β n⌋ smallest
    and the ⌊β n⌋ largest of n (Algorithm 1, option II).
    """,
    statistics="median",
)
