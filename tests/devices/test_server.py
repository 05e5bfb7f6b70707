"""What takes the server long it computes on the device: distillation, distances, medians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.algorithm import robust
from fedlab.engine.settings import EngineSettings
from fedlab.run import baselines
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from strategies import krum, rfa
from tests.devices.strict import counted
from tests.shared import scenario_with
from tests.strategies import test_distillation_runs as distillation

pytestmark = pytest.mark.usefixtures("strict")
STRICT = torch.device("privateuseone:0")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let vectors be cut into several pieces, the last one shorter."""
    monkeypatch.setattr(robust, "PIECE_BYTES", 8 * 7 * 300)


def points(count: int) -> list[Any]:
    draw = np.random.default_rng(count)
    return [draw.normal(size=1003).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_distances_are_those_of_the_cpu(count: int) -> None:
    found = robust.squared_distances(points(count), STRICT)
    np.testing.assert_allclose(found, krum.squared_distances(points(count)), rtol=1e-12)


@pytest.mark.parametrize("count", [1, 6, 7])
def test_medians_are_those_of_the_cpu(count: int) -> None:
    found = robust.coordinate_median(points(count), STRICT)
    stacked = np.stack(points(count)).astype(np.float64)
    assert np.array_equal(found, np.median(stacked, axis=0))


@pytest.mark.parametrize(("count", "cut"), [(5, 1), (10, 3), (3, 0)])
def test_trimmed_means_are_those_of_the_cpu(count: int, cut: int) -> None:
    found = robust.trimmed_mean(points(count), cut, STRICT)
    ordered = np.sort(np.stack(points(count)).astype(np.float64), axis=0)
    np.testing.assert_allclose(found, ordered[cut : count - cut].mean(0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("iterations", [1, 3, 50])
def test_the_geometric_median_is_that_of_the_cpu(iterations: int) -> None:
    values, centre = points(7), points(1)[0]
    values[0] += 1000
    alphas = np.arange(1.0, 8.0) / 28
    moved = np.stack(values).astype(np.float64) - centre
    expected = rfa.geometric_median(moved, alphas, iterations, 1e-6)
    found = robust.geometric_median(values, centre, alphas, iterations, 1e-6, STRICT)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_the_device_of_the_cpu_and_those_without_doubles_are_not_used() -> None:
    assert robust.is_used(STRICT)
    assert not robust.is_used(CPU)
    assert not robust.is_used(torch.device("meta"))


FUNCTIONS = {
    "krum": ("squared_distances", {"num_malicious_nodes": 1}),
    "multikrum": ("squared_distances", {"num_malicious_nodes": 1, "num_nodes_to_select": 4}),
    "bulyan": ("squared_distances", {"num_malicious_nodes": 1}),
    "rfa": ("geometric_median", {}),
    "fedmedian": ("coordinate_median", {}),
    "fedtrimmedavg": ("trimmed_mean", {"beta": 0.3}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_aggregator_computes_on_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, keys = FUNCTIONS[name]
    scenario = scenario_with(
        data={"partition": {"clients": 7}}, strategy={"name": name, **keys}, model={"hidden": [8]}
    )
    used: list[torch.device] = []
    compute: Callable[..., Any] = getattr(robust, function)

    def noted(*arguments: Any) -> Any:
        used.append(arguments[-1])
        return compute(*arguments)

    monkeypatch.setattr(robust, function, noted)
    ends = {device: end_of(scenario, device) for device in ("cpu", "strict")}
    assert set(used) == {STRICT}
    torch.testing.assert_close(ends["strict"], ends["cpu"], rtol=1e-5, atol=1e-7)


def end_of(scenario: Scenario, device: str) -> torch.Tensor:
    engine = scenario.engine.model_copy(update={"device": device})
    changed = scenario.model_copy(update={"rounds": 1, "engine": engine})
    with Simulation(changed) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        return torch.as_tensor(rounds.weights)


def test_a_student_learns_on_the_device_and_waits_for_no_step() -> None:
    numbers = []
    for steps in (4, 40):
        scenario = scenario_with(
            distillation.BASE,
            rounds=1,
            strategy={"name": "feddf", "distillation_steps": steps},
            engine={"device": "strict"},
        )
        with Simulation(scenario) as simulation:
            public: Any = simulation.strategy.context.public  # type: ignore[attr-defined]
            assert public.device == public.examples.inputs.device == STRICT
            assert simulation.network.model.device == CPU
            rounds = simulation.rounds()
            with counted() as copies:
                rounds.run()
            numbers.append((copies[0].numbers, copies[0].to_host))
    assert numbers[0] == numbers[1]


def test_baselines_of_a_run_on_flowers_engine_keep_its_device() -> None:
    keys = {"name": "flower", "device": "strict", "deterministic": False, "threads": 2}
    ours = baselines._on_our_engine(scenario_with(engine=keys)).engine
    assert ours.name == "ray"
    for key in EngineSettings.model_fields:
        if key != "name":
            assert getattr(ours, key) == getattr(scenario_with(engine=keys).engine, key)
