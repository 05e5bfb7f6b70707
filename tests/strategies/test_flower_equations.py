"""Flower's strategies against their equations in NumPy, over three rounds of seven clients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.algorithm.strategy import build_strategy
from fedlab.registry import strategies
from fedlab.wire import flower_internals

Vector = np.ndarray[Any, np.dtype[Any]]
CLIENTS, SIZE = 7, 5
COUNTS = np.array([10, 20, 30, 40, 50, 60, 70])
LOSSES = np.array([0.3, 2.0, 1.0, 0.5, 4.0, 0.9, 1.2])
MOVES = np.random.default_rng(0).normal(0, 0.3, (3, CLIENTS, SIZE))
# One client far from the others in each round, for those that shall not mind.
MOVES[:, 2] += 4.0


class Nodes:
    """As much of a grid as it takes to draw a cohort."""

    def get_node_ids(self) -> range:
        return range(2, 2 + CLIENTS)


def built(name: str, **keys: Any) -> Any:
    return build_strategy(strategies.get(name).Settings(name=name, **keys))


def reply(client: int, weights: Vector) -> Message:
    numbers = {"num-examples": int(COUNTS[client]), "train_loss": float(LOSSES[client])}
    content = RecordDict(
        {
            "metrics": MetricRecord(numbers),
            "arrays": ArrayRecord({"weights": Array(weights.astype(np.float32))}),
        }
    )
    answer = Message(content, reply_to=Message(RecordDict(), client + 2, "train"))
    flower_internals.set_source(answer, client + 2)
    return answer


def after_round(strategy: Any, number: int, x: Vector, y: Vector) -> Vector:
    """Return what a strategy makes of the weights y, (clients, size), reached from x."""
    flower_internals.assume_identity()
    arrays = ArrayRecord({"weights": Array(x.astype(np.float32))})
    list(strategy.configure_train(number, arrays, ConfigRecord(), Nodes()))
    new, _ = strategy.aggregate_train(number, [reply(i, weights) for i, weights in enumerate(y)])
    (array,) = new.values()
    found: Vector = array.numpy()
    return found


def check(strategy: Any, step: Callable[[int, Vector, Vector], Vector]) -> None:
    """Hold every round of a strategy against a step from x and y, each from where ours led."""
    x = np.linspace(-1, 1, SIZE).astype(np.float32)
    for number, moves in enumerate(MOVES, 1):
        y = (x + moves).astype(np.float32)
        wanted = step(number, np.float64(1) * x, np.float64(1) * y)
        x = after_round(strategy, number, x, y)
        np.testing.assert_allclose(x, wanted, rtol=2e-5, atol=2e-6)


def mean(y: Vector) -> Vector:
    return np.asarray(np.average(y, axis=0, weights=COUNTS))


@pytest.mark.parametrize("name", ["fedavg", "fedprox"])
def test_fedavg_and_fedprox_average_by_examples(name: str) -> None:
    keys = {"proximal_mu": 0.1} if name == "fedprox" else {}
    check(built(name, **keys), lambda _, x, y: mean(y))


def test_fedavgm_gathers_momentum() -> None:
    velocity = np.zeros(SIZE)

    def step(number: int, x: Vector, y: Vector) -> Vector:
        nonlocal velocity
        velocity = 0.6 * velocity + x - mean(y)
        return np.asarray(x - 0.8 * velocity)

    check(built("fedavgm", server_learning_rate=0.8, server_momentum=0.6), step)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi", "fedadagrad"])
def test_adaptive_servers_divide_by_the_root_of_a_second_moment(name: str) -> None:
    beta, beta_2 = (0.0, 0.0) if name == "fedadagrad" else (0.7, 0.9)
    m, v = np.zeros(SIZE), np.zeros(SIZE)

    def step(number: int, x: Vector, y: Vector) -> Vector:
        nonlocal m, v
        change = mean(y) - x
        m = beta * m + (1 - beta) * change
        v = {
            "fedadam": beta_2 * v + (1 - beta_2) * change**2,
            "fedyogi": v - (1 - beta_2) * change**2 * np.sign(v - change**2),
            "fedadagrad": v + change**2,
        }[name]
        rate = 0.2
        if name == "fedadam":
            # Flower corrects the rate as Adam does in the round after this one.
            rate *= np.sqrt(1 - beta_2 ** (number + 1)) / (1 - beta ** (number + 1))
        return np.asarray(x + rate * m / (np.sqrt(v) + 0.01))

    keys = {} if name == "fedadagrad" else {"beta_1": beta, "beta_2": beta_2}
    check(built(name, eta=0.2, tau=0.01, **keys), step)


def test_fedmedian_takes_the_median_of_each_coordinate() -> None:
    check(built("fedmedian"), lambda _, x, y: np.sort(y, axis=0)[3])


def test_fedtrimmedavg_leaves_out_each_coordinates_extremes() -> None:
    check(built("fedtrimmedavg", beta=0.3), lambda _, x, y: np.sort(y, axis=0)[2:5].mean(axis=0))


def krum_scores(y: Vector, malicious: int) -> Vector:
    """Return each client's sum of squared distances to the n − f − 2 others nearest to it."""
    distances = ((y[:, None] - y[None, :]) ** 2).sum(axis=2)
    others = np.sort(distances, axis=1)[:, 1:]
    return np.asarray(others[:, : len(y) - malicious - 2].sum(axis=1))


def test_krum_takes_the_update_nearest_to_the_others() -> None:
    check(
        built("krum", num_malicious_nodes=2),
        lambda _, x, y: y[krum_scores(y, 2).argmin()],
    )


def test_multikrum_averages_the_nearest_by_examples() -> None:
    def step(number: int, x: Vector, y: Vector) -> Vector:
        chosen = krum_scores(y, 2).argsort()[:4]
        assert 2 not in chosen
        return np.asarray(np.average(y[chosen], axis=0, weights=COUNTS[chosen]))

    check(built("multikrum", num_malicious_nodes=2, num_nodes_to_select=4), step)


def test_bulyan_averages_what_is_near_the_median_of_krums_choice() -> None:
    def step(number: int, x: Vector, y: Vector) -> Vector:
        chosen = y[krum_scores(y, 1).argsort()[:5]]
        gaps = np.abs(chosen - np.median(chosen, axis=0))
        nearest = gaps.argsort(axis=0)[:3]
        return np.asarray(np.take_along_axis(chosen, nearest, axis=0).mean(axis=0))

    check(built("bulyan", num_malicious_nodes=1), step)


def test_qfedavg_gives_more_weight_to_large_losses() -> None:
    q, lipschitz = 1.5, 1 / 0.2

    def step(number: int, x: Vector, y: Vector) -> Vector:
        gradients = lipschitz * (x - y)
        powers = LOSSES**q
        curvature = q * LOSSES ** (q - 1) * (gradients**2).sum(axis=1) + lipschitz * powers
        return np.asarray(x - (powers @ gradients) / curvature.sum())

    check(built("qfedavg", q=q, client_learning_rate=0.2), step)
