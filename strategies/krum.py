"""Krum, Multi-Krum and Bulyan: the updates that are nearest to each other.

Flower's classes (1.41) choose by ‖x‖² + ‖y‖² − 2⟨x, y⟩ of whole weights in float32, whose rounding
may be larger than the distance of two updates; these choose by differences, in float64. All else is
Flower's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower

from fedlab.algorithm import robust
from fedlab.algorithm.vector_strategy import CPU, Vector
from fedlab.wire.records import records_of, without_copying
from strategies.flower import adopt

if TYPE_CHECKING:
    from flwr.serverapp.strategy import FedAvg as Base
else:
    Base = object

PIECE = 1 << 14
"""Coordinates that are compared at once; so many of all clients fit into a processor's cache."""
IDLE = """
A client that returns the weights just as it received them sends no update, and is left out unless
all do: among clients that move in different directions it would be the nearest to all, and chosen
in every round.
"""


class ComparesUpdates(robust.OnServerDevice, Base):
    """Leaves out of the comparison who returned just what it received."""

    transient: ClassVar[frozenset[str]] = frozenset({"_sent", "_device"})
    _sent: Vector | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message per client of the cohort, and remember the weights."""
        self._sent = next(iter(arrays.values())).numpy()
        return super().configure_train(server_round, arrays, config, grid)

    def _with_update(self, replies: Iterable[Message]) -> list[Message]:
        """Return the replies that hold an update, or all where none does."""
        answered = [reply for reply in replies if reply.has_content()]
        if self._sent is None:
            return answered
        moved = [r for r in answered if not np.array_equal(_weights(r.content), self._sent)]
        return moved or answered


class MultiKrum(ComparesUpdates, flower.MultiKrum):
    """Multi-Krum by exact distances."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the chosen weights, by examples."""
        answered = self._with_update(replies)
        if not answered:
            return None, None
        weights = [_weights(reply.content) for reply in answered]
        scores = krum_scores(weights, self.num_malicious_nodes, self._device)
        chosen = np.argsort(scores, kind="stable")[: self.num_nodes_to_select]
        return flower.FedAvg.aggregate_train(self, server_round, [answered[i] for i in chosen])


class Krum(MultiKrum, flower.Krum):
    """Krum by exact distances."""


class Bulyan(ComparesUpdates, flower.Bulyan):
    """Bulyan whose choice is by exact distances."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the trimmed mean of the chosen weights."""
        self.selection_rule = partial(nearest, device=self._device)
        return super().aggregate_train(server_round, self._with_update(replies))


def nearest(
    contents: list[RecordDict], malicious: int, count: int, device: torch.device = CPU
) -> list[RecordDict]:
    """Return the contents of the ``count`` replies with the lowest scores of Krum."""
    scores = krum_scores([_weights(content) for content in contents], malicious, device)
    return [contents[i] for i in np.argsort(scores, kind="stable")[:count]]


def krum_scores(points: Sequence[Vector], malicious: int, device: torch.device = CPU) -> Vector:
    """Return (n,) each point's sum of squared distances to the n − f − 2 others nearest to it.

    Args:
        points: n vectors, (d,).
        malicious: f.
        device: Where they are compared.
    """
    on_device = robust.is_used(device)
    distances = robust.squared_distances(points, device) if on_device else squared_distances(points)
    np.fill_diagonal(distances, np.inf)
    closest = max(1, len(points) - malicious - 2)
    # Of one point alone there is no other.
    near = np.sort(distances, axis=1)[:, : min(closest, max(len(points) - 1, 1))]
    return np.asarray(near.sum(axis=1))


def squared_distances(points: Sequence[Vector]) -> Vector:
    """Return (n, n) float64: the squared Euclidean distances of n vectors, by their differences."""
    from scipy.spatial.distance import pdist, squareform

    count, size = len(points), len(points[0])
    total = np.zeros(count * (count - 1) // 2)
    for start in range(0, size if count > 1 else 0, PIECE):
        part = np.stack([point[start : start + PIECE] for point in points])
        total += pdist(part.astype(np.float64), "sqeuclidean")
    return np.asarray(squareform(total)) if count > 1 else np.zeros((1, 1))


def _weights(content: RecordDict) -> Any:
    record = next(iter(records_of(content, ArrayRecord).values()))
    return without_copying(next(iter(record.values())))


# Blanchard et al. 2017, proposition 4.2; El Mhamdi et al. 2018, section 4.
adopt(
    "krum",
    Krum,
    "Krum: the one update that is nearest to the others (Blanchard et al. 2017)",
    f"""
x ← yₖ of the client k with the least Σⱼ ‖yₖ − yⱼ‖² over the n − f − 2 others nearest to it, of n
clients with f malicious ones. Distances are those of the updates, in float64.
{IDLE}""",
    malicious_bound=(2, 3),
    statistics="median",
)
adopt(
    "multikrum",
    MultiKrum,
    "MultiKrum: the mean of the updates that are nearest to the others (Blanchard et al. 2017)",
    f"""
x ← mean of the num_nodes_to_select yₖ with the lowest scores of Krum, by distances in float64. They
are weighed by examples as Flower does, where the paper weighs them equally.
{IDLE}""",
    malicious_bound=(2, 3),
    statistics="median",
)
adopt(
    "bulyan",
    Bulyan,
    "Bulyan: Krum's choice, then a trimmed mean of it (El Mhamdi et al. 2018)",
    f"""
Of n clients with f malicious ones, θ = n − 2f are chosen by Krum's scores, whose distances are in
float64; each coordinate of x becomes the mean of the θ − 2f values nearest to the median of the
chosen. Scores are computed once, as Flower does; the paper recomputes them after each choice.
{IDLE}""",
    malicious_bound=(4, 3),
    statistics="median",
)
