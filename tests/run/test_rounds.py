"""The global weights are held once, whatever carries them."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, RecordDict

from fedlab.run import rounds as rounds_module
from fedlab.run.callbacks import Callback, RoundOutcome
from fedlab.run.rounds import Rounds
from fedlab.run.simulation import Simulation
from fedlab.wire.records import without_copying
from tests.shared import scenario_with


class Watch(Callback):
    """Keeps the weights after each round, and how many replies are still held then."""

    def __init__(self) -> None:
        self.weights: list[np.ndarray[Any, Any]] = []
        self.replies: list[weakref.ref[RecordDict]] = []
        self.alive: list[int] = []
        self.is_shared: list[bool] = []

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        self.weights.append(rounds.weights.numpy())
        self.alive.append(sum(record() is not None for record in self.replies))


def _watched(strategy: str) -> Watch:
    watch = Watch()
    scenario = scenario_with(
        'data.name = "iris"\nmodel.name = "linear"', strategy={"name": strategy}
    )
    with Simulation(scenario) as simulation:
        rounds = simulation.rounds([watch])
        configure = simulation.strategy.configure_train
        aggregate = simulation.strategy.aggregate_train

        def configure_train(number: int, arrays: ArrayRecord, *others: Any) -> Any:
            carried = without_copying(next(iter(arrays.values())))
            np.testing.assert_array_equal(carried, watch.weights[number - 1])
            watch.is_shared.append(np.shares_memory(carried, rounds.weights.numpy()))
            return configure(number, arrays, *others)

        def aggregate_train(number: int, replies: Any) -> Any:
            watch.replies += [weakref.ref(reply.content) for reply in replies]
            return aggregate(number, replies)

        simulation.strategy.configure_train = configure_train  # type: ignore[method-assign]
        simulation.strategy.aggregate_train = aggregate_train  # type: ignore[method-assign]
        rounds.run()
    return watch


@pytest.mark.parametrize("strategy", ["fedavg", "fedadam", "fedmedian"])
def test_what_is_sent_is_where_the_weights_lie(strategy: str) -> None:
    watch = _watched(strategy)
    assert watch.is_shared == [True] * 3
    assert all(weights.dtype == np.float32 for weights in watch.weights)


def test_of_large_models_nothing_is_left_of_a_round_that_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds_module, "LARGE", 0)
    gc.disable()
    try:
        watch = _watched("fedavg")
        assert len(watch.replies) == 3
        assert watch.alive == [0] * 4
    finally:
        gc.enable()
