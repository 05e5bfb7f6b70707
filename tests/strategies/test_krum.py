"""Krum, Multi-Krum and Bulyan choose what exact distances say."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.algorithm.strategy import build_strategy
from fedlab.registry import strategies
from fedlab.wire import flower_internals
from strategies.krum import krum_scores, squared_distances

SIZE, CLIENTS = 20_000, 9
BASE = np.random.default_rng(0).normal(0, np.sqrt(1.4e5 / SIZE), SIZE).astype(np.float32)
"""Weights of norm² 1.4e5, as those of a pretrained backbone."""


class Nodes:
    """As much of a grid as it takes to draw a cohort."""

    def get_node_ids(self) -> range:
        return range(2, 2 + CLIENTS)


def moved(seed: int) -> Any:
    """Return small updates, the last two of which are farther from the others than these are."""
    generator = np.random.default_rng(seed)
    moves = generator.normal(0, 1e-4, (CLIENTS, SIZE))
    moves[-2:] *= 1.5
    return BASE + moves.astype(np.float32)


def exact_order(points: Any, malicious: int) -> list[int]:
    """Return the points by Krum's score, worked with differences of Python's own size."""
    exact = points.astype(np.float64)
    scores = []
    for i, point in enumerate(exact):
        gaps = sorted(((point - other) ** 2).sum() for j, other in enumerate(exact) if j != i)
        scores.append(sum(gaps[: len(exact) - malicious - 2]))
    return [int(i) for i in np.argsort(scores)]


def aggregate(name: str, points: Any, **keys: Any) -> Any:
    flower_internals.assume_identity()
    strategy: Any = build_strategy(strategies.get(name).Settings(name=name, **keys))
    sent = ArrayRecord({"weights": Array(BASE)})
    list(strategy.configure_train(1, sent, ConfigRecord(), Nodes()))
    replies = []
    for client, point in enumerate(points):
        content = RecordDict(
            {
                "metrics": MetricRecord({"num-examples": 10, "train_loss": 1.0}),
                "arrays": ArrayRecord({"weights": Array(point)}),
            }
        )
        reply = Message(content, reply_to=Message(RecordDict(), client + 2, "train"))
        flower_internals.set_source(reply, client + 2)
        replies.append(reply)
    new, _ = strategy.aggregate_train(1, replies)
    return next(iter(new.values())).numpy()


@pytest.mark.parametrize("seed", range(10))
def test_krum_chooses_by_exact_distances_of_small_updates(seed: int) -> None:
    points = moved(seed)
    chosen = exact_order(points, 2)[0]
    np.testing.assert_array_equal(aggregate("krum", points, num_malicious_nodes=2), points[chosen])


@pytest.mark.parametrize("seed", range(5))
def test_multikrum_and_bulyan_choose_by_exact_distances(seed: int) -> None:
    points = moved(seed)
    chosen = exact_order(points, 2)[:4]
    assert not {7, 8} & set(chosen)
    mean = aggregate("multikrum", points, num_malicious_nodes=2, num_nodes_to_select=4)
    np.testing.assert_allclose(mean, points[chosen].mean(axis=0), rtol=1e-6)
    kept = points[exact_order(points, 1)[:7]]
    nearest = np.abs(kept - np.median(kept, axis=0)).argsort(axis=0)[:5]
    trimmed = np.take_along_axis(kept, nearest, axis=0).mean(axis=0)
    found = aggregate("bulyan", points, num_malicious_nodes=1)
    np.testing.assert_allclose(found, trimmed, rtol=1e-6)


def test_distances_are_of_differences_however_long_the_vectors() -> None:
    points = [np.full(50_000, 300.0, np.float32), np.full(50_000, 300.0, np.float32)]
    points[1][0] += np.float32(2**-10)
    np.testing.assert_allclose(squared_distances(points)[0, 1], 2.0**-20, rtol=1e-12)


@pytest.mark.parametrize("name", ["krum", "multikrum", "bulyan"])
def test_who_returns_what_it_received_is_not_chosen(name: str) -> None:
    points = moved(1)
    points[3] = BASE
    # Among clients that move in different directions the one in their middle is the nearest.
    assert krum_scores(list(points), 1).argmin() == 3
    new = aggregate(name, points, num_malicious_nodes=1)
    assert np.abs(new - BASE).max() > 0
    assert aggregate("krum", [BASE] * CLIENTS).tolist() == BASE.tolist()


@pytest.mark.parametrize("outlier", [1e3, 1e30])
def test_an_outlier_of_any_size_is_not_chosen(outlier: float) -> None:
    points = moved(2)
    points[4] = np.float32(outlier)
    new = aggregate("krum", points, num_malicious_nodes=1)
    np.testing.assert_array_equal(new, points[exact_order(points, 1)[0]])
    assert np.abs(new - BASE).max() < 1e-2
