"""Flower's strategies by name, and anybody's by module:Class."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import FedAvg

from fedlab.algorithm.strategy import build_strategy, own_traits
from fedlab.errors import FedlabError
from fedlab.registry import strategies

ADOPTED = [n for n in strategies.names() if strategies.get(n).__module__ == "strategies.flower"]
NOT_OURS = {"FedXgbBagging", "FedXgbCyclic", "Strategy", "Result"}


class HalfStep(FedAvg):
    """A stranger's strategy: goes only part of the way to the mean."""

    def __init__(self, step: float = 0.5, **rest: Any) -> None:
        super().__init__(**rest)
        self.step = step
        self.last: ArrayRecord | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.last = arrays
        return super().configure_train(server_round, arrays, config, grid)


def test_every_strategy_of_flowers_has_a_name_here() -> None:
    classes = {strategies.get(name).__name__ for name in ADOPTED}
    assert set(flower.__all__) - NOT_OURS <= classes


@pytest.mark.parametrize("name", ADOPTED)
def test_defaults_are_flowers_own_where_it_has_them(name: str) -> None:
    """But for those of a deployment, and a server's rate that no network survives."""
    for key, field in strategies.get(name).Settings.model_fields.items():
        original = getattr(flower, strategies.get(name).__name__).__init__
        if key in original.__kwdefaults__ if original.__kwdefaults__ else False:
            ours = {"min_train_nodes", "min_evaluate_nodes", "min_available_nodes", "eta", "tau"}
            assert field.default == original.__kwdefaults__[key] or key in ours


def test_the_settings_become_the_constructors_arguments() -> None:
    settings = strategies.get("fedadam").Settings(name="fedadam", eta=0.3, beta_2=0.5)
    built: Any = build_strategy(settings)
    assert isinstance(built, flower.FedAdam)
    assert (built.eta, built.beta_2, built.min_train_nodes) == (0.3, 0.5, 1)


def test_a_wrapper_wraps_the_inner_strategy() -> None:
    settings = strategies.get("dp-server-fixed-clipping").Settings(
        name="dp-server-fixed-clipping",
        noise_multiplier=0.1,
        clipping_norm=1.0,
        num_sampled_clients=4,
        inner={"name": "fedavg", "fraction_train": 0.5},
    )
    built: Any = build_strategy(settings)
    assert isinstance(built, flower.DifferentialPrivacyServerSideFixedClipping)
    assert built.strategy.fraction_train == 0.5


def test_strategies_take_means_unless_they_need_each_update() -> None:
    means = {name for name in ADOPTED if own_traits(strategies.get(name)).takes_mean}
    assert means == {
        "fedavg", "fedavgm", "fedprox", "fedadam", "fedyogi", "fedadagrad",
        "dp-client-fixed-clipping",
    }  # fmt: skip


def test_the_state_of_fedadam_comes_back_without_its_settings() -> None:
    settings = strategies.get("fedadam").Settings(name="fedadam")
    first: Any = build_strategy(settings)
    first.m_t, first.v_t = {"weights": np.ones(2)}, {"weights": np.full(2, 3.0)}
    state = first.state_dict()
    assert set(state) == {"m_t", "v_t", "current_arrays"}
    second: Any = build_strategy(settings)
    second.load_state_dict(state)
    np.testing.assert_array_equal(second.v_t["weights"], [3.0, 3.0])


def test_a_strangers_strategy_gets_settings_and_state() -> None:
    adapted = strategies.get(f"{__name__}:HalfStep")
    settings = adapted.Settings(name="x", step=0.25, fraction_train=0.5)
    built: Any = build_strategy(settings.model_copy(update={"name": f"{__name__}:HalfStep"}))
    assert (built.step, built.fraction_train) == (0.25, 0.5)
    built.last = ArrayRecord({"weights": Array(np.zeros(1))})
    assert set(built.state_dict()) == {"last"}


def test_what_is_not_a_strategy_is_refused() -> None:
    with pytest.raises(FedlabError, match="no module"):
        strategies.get("nowhere:Strategy")
