"""Meta-SGD's server moves weights and rates alike, and tells new clients the rates."""

from typing import Any

import numpy as np

from fedlab.algorithm.strategy import build_strategy
from fedlab.algorithm.vector_strategy import Reply
from fedlab.registry import strategies


def built(**optimizer: Any) -> Any:
    keys = {"optimizer": optimizer} if optimizer else {}
    return build_strategy(strategies.get("meta-sgd").Settings(name="meta-sgd", **keys))


def reply(client: int, weights: list[float], rates: list[float]) -> Reply:
    return Reply(client, 1.0, np.array(weights), {"rates": np.array(rates)}, {})


def test_by_default_both_are_means() -> None:
    strategy, start = built(), np.array([1.0, 1.0], np.float32)
    assert strategy.broadcast(1, start) == strategy.for_new_clients() == {}
    new = strategy.step(1, start, [reply(2, [2, 0], [0.1, 0.3]), reply(3, [4, 2], [0.3, -0.1])])
    np.testing.assert_allclose(new, [3, 1], rtol=1e-6)
    for sent in (strategy.broadcast(2, new), strategy.for_new_clients()):
        np.testing.assert_allclose(sent["rates"], [0.2, 0.1], rtol=1e-6)
    assert strategy.settings.weighting == "clients"


def test_an_optimiser_takes_one_step_of_both_and_is_kept() -> None:
    strategy, start = built(name="Adam", lr=0.01), np.array([1.0, 1.0], np.float32)
    new = strategy.step(1, start, [reply(2, [2, 0.5], [0.1, -0.3])])
    # Adam's first step is its rate in the direction of each change.
    np.testing.assert_allclose(new, [1.01, 0.99], rtol=1e-4)
    np.testing.assert_allclose(strategy.for_new_clients()["rates"], [0.01, -0.01], rtol=1e-4)
    again = built(name="Adam", lr=0.01)
    again.load_state_dict(strategy.state_dict())
    second = [reply(2, [1, 1], [0.0, 0.0])]
    np.testing.assert_array_equal(again.step(2, new, second), strategy.step(2, new, second))
    np.testing.assert_array_equal(again.rates, strategy.rates)
