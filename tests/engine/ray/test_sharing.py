"""How many workers share a device, by what the first of them has taken."""

from __future__ import annotations

from typing import Any

import pytest

from fedlab.engine import devices
from fedlab.engine.ray import capacity
from fedlab.engine.ray.sharing import is_measured, workers_that_fit
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from tests.shared import scenario_with

GIGABYTE = 1 << 30


@pytest.mark.parametrize(
    ("measured", "cores", "blocks", "workers"),
    [
        ([(4 * GIGABYTE, 100 * GIGABYTE)], 64, 64, 23),
        ([(4 * GIGABYTE, 100 * GIGABYTE)], 8, 64, 8),
        ([(4 * GIGABYTE, 100 * GIGABYTE)], 64, 5, 5),
        ([(80 * GIGABYTE, 50 * GIGABYTE)], 64, 64, 1),
        ([(2 * GIGABYTE, 30 * GIGABYTE), (10 * GIGABYTE, 24 * GIGABYTE)], 64, 64, 6),
        ([(GIGABYTE, 30 * GIGABYTE)] * 4, 2, 64, 4),
    ],
    ids=["memory", "cores", "blocks", "large", "two devices", "more devices than cores"],
)
def test_as_many_share_a_device_as_fit(
    measured: list[tuple[int, int]], cores: int, blocks: int, workers: int
) -> None:
    assert workers_that_fit(measured, cores, blocks) == workers


def settings(**keys: Any) -> Any:
    return scenario_with(engine={"name": "ray", "device": "cpu", **keys}).engine


def test_what_is_said_is_not_measured() -> None:
    assert is_measured(settings(workers_per_device="auto"))
    assert not is_measured(settings(workers_per_device=2))
    assert not is_measured(settings(workers_per_device="auto", workers=3))
    assert not is_measured(settings(workers_per_device="auto", gpus_per_worker=0.5))
    assert capacity.workers_of(settings(workers_per_device="auto")) == capacity.cores_here()


def test_the_cpu_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_accelerators", list)
    monkeypatch.setattr(capacity, "cores_here", lambda: 2)
    keys = {"name": "ray", "device": "auto", "workers_per_device": "auto"}
    with Simulation(scenario_with(rounds=1, engine=keys)) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        assert simulation.engine.workers == 2
        assert rounds.status == "finished"


def test_a_cluster_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    scenario = scenario_with(engine={"name": "ray", "workers_per_device": "auto"})
    with pytest.raises(FedlabError, match="'auto' measures this machine's devices, and workers"):
        Simulation(scenario)
