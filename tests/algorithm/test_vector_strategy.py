"""The base of fedlab's own strategies: sampling, messages, weighting, state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategy, mean
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with

BASE = {
    "rounds": 2,
    "data": {"partition": {"name": "dirichlet", "clients": 6, "alpha": 0.5}},
    "model": {"hidden": [8]},
    "client": {"optimizer": {"lr": 0.1}},
    "strategy": {"fraction_train": 0.7},
}


class Mean(VectorStrategy):
    """The mean of all replies."""

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        self.replies = len(replies)
        return np.asarray(mean(replies))


class MeanOfMean(Mean):
    """The mean that workers took."""

    traits = Traits(takes_mean=True)


def weights_of(folder: Path, strategy: str, keys: str = "", engine: str = "inline") -> Any:
    names = {"strategy": {"name": strategy}, "engine": {"name": engine}}
    scenario = scenario_with(BASE, names, strategy=keys)
    run_folder = RunFolder.create(folder, "vectors", scenario)
    run(run_folder)
    tensors = load_file(run_folder.path / "model.safetensors")
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("inline", "Mean"),
        ("inline", "MeanOfMean"),
        ("ray", "MeanOfMean"),
        pytest.param("ray", "Mean", marks=pytest.mark.slow),
    ],
)
def test_the_mean_of_vectors_is_flowers_fedavg(tmp_path: Path, name: str, engine: str) -> None:
    ours = weights_of(tmp_path, f"{__name__}:{name}", engine=engine)
    np.testing.assert_allclose(ours, weights_of(tmp_path, "fedavg"), rtol=1e-5, atol=1e-7)


def test_clients_weigh_the_same_if_asked_with_or_without_sums(tmp_path: Path) -> None:
    alike = 'weighting = "clients"'
    apart = weights_of(tmp_path, f"{__name__}:Mean", alike)
    summed = weights_of(tmp_path, f"{__name__}:MeanOfMean", alike)
    np.testing.assert_allclose(apart, summed, rtol=1e-5, atol=1e-7)
    assert not np.allclose(apart, weights_of(tmp_path, "fedavg"), rtol=1e-3)


def test_a_mean_is_weighted() -> None:
    replies = [
        Reply(2, 1.0, np.array([1.0, 2.0]), {}, {"loss": 4.0}),
        Reply(3, 3.0, np.array([5.0, 6.0]), {}, {"loss": 0.0}),
    ]
    np.testing.assert_array_equal(mean(replies), [4.0, 5.0])
    assert mean(replies, lambda reply: reply.metrics["loss"]) == 1.0


def test_what_a_strategy_sets_is_its_state() -> None:
    strategy = Mean.from_settings(Mean.Settings(name="mean"))
    assert strategy.state_dict() == {}
    strategy.momentum = np.ones(3, np.float32)
    strategy.clusters = {"first": [1, 2]}
    state = strategy.state_dict()
    assert set(state) == {"momentum", "clusters"}
    again = Mean.from_settings(Mean.Settings(name="mean"))
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.momentum, np.ones(3))
