"""Workers in processes of their own share the devices of their machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.engine.ray import capacity
from fedlab.run.simulation import Simulation
from tests.shared import scenario_with

pytestmark = pytest.mark.usefixtures("strict")
ROOT = Path(__file__).parents[2]
CLIENT = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})
from fedlab.algorithm.client import ClientAlgorithm
from tests.devices import strict

strict.register()


class Placed(ClientAlgorithm):
    'Says which device it trained on.'

    def update(self, task, fitted):
        update = super().update(task, fitted)
        update.metrics["place"] = float(task.device.index or 0) if task.device.type != "cpu" else -1
        return update
"""


def outcome(folder: Path, **engine: Any) -> tuple[torch.Tensor, set[float]]:
    """Return the weights after two rounds, and the numbers of the devices that clients had."""
    (folder / "placed_client.py").write_text(CLIENT)
    changes = {
        "rounds": 2,
        "module_folders": [str(folder)],
        "data": {"partition": {"clients": 8}},
        "client": {"name": "placed_client:Placed"},
        "engine": {"vectorised": False, **engine},
    }
    places: set[float] = set()
    with Simulation(scenario_with(changes)) as simulation:
        exchange = simulation.engine.exchange

        def noted(*arguments: Any, **keys: Any) -> Any:
            found = exchange(*arguments, **keys)
            places.update(r.metrics["place"] for r in found.reports if "place" in r.metrics)
            return found

        simulation.engine.exchange = noted  # type: ignore[method-assign]
        rounds = simulation.rounds()
        rounds.run()
        return torch.as_tensor(rounds.weights), places


@pytest.mark.parametrize(
    ("keys", "places"),
    [
        ({"workers_per_device": 1}, {0.0, 1.0}),
        pytest.param({"workers": 1}, {0.0}, marks=pytest.mark.slow),
        pytest.param({"device": "strict:1", "workers": 2}, {1.0}, marks=pytest.mark.slow),
    ],
    ids=["a worker a device", "one worker", "one device"],
)
def test_several_workers_share_the_devices_and_reach_the_bits_of_the_cpu(
    tmp_path: Path, keys: dict[str, Any], places: set[float]
) -> None:
    on_cpu = outcome(tmp_path, name="inline")
    weights, found = outcome(tmp_path, name="ray", **{"device": "strict", **keys})
    assert torch.equal(weights, on_cpu[0])
    assert found == places
    assert on_cpu[1] == {-1.0}


def workers_after(folder: Path, blocks: int, **engine: Any) -> tuple[torch.Tensor, list[int]]:
    """Return the weights after two rounds of so many clients, and the workers before and after."""
    (folder / "placed_client.py").write_text(CLIENT)
    changes = {
        "rounds": 2,
        "module_folders": [str(folder)],
        "data": {"partition": {"clients": blocks}},
        "client": {"name": "placed_client:Placed"},
        "engine": {"vectorised": False, **engine},
    }
    with Simulation(scenario_with(changes)) as simulation:
        rounds = simulation.rounds()
        before = simulation.engine.workers
        rounds.run()
        return torch.as_tensor(rounds.weights), [before, simulation.engine.workers]


def test_as_many_workers_share_a_device_as_fit_and_bits_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "cores_here", lambda: 3)
    keys = {"name": "ray", "device": "strict:0", "workers_per_device": "auto"}
    found, workers = workers_after(tmp_path, 6, **keys)
    assert workers == [1, 3]
    expected, _ = workers_after(tmp_path, 6, name="inline")
    assert torch.equal(found, expected)


def test_each_phase_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "cores_here", lambda: 2)
    (tmp_path / "placed_client.py").write_text(CLIENT)
    changes: dict[str, Any] = {
        "rounds": 2,
        "phases": [{"rounds": 1, "trainable": "head"}, {"rounds": 1}],
        "module_folders": [str(tmp_path)],
        "data": {"partition": {"clients": 4}},
        "client": {"name": "placed_client:Placed"},
    }
    ray = {"name": "ray", "device": "strict:0", "workers_per_device": "auto"}
    with Simulation(scenario_with(changes, engine={"vectorised": False, **ray})) as simulation:
        engine: Any = simulation.engine
        measured: list[int] = []
        measure = engine._measure
        engine._measure = lambda blocks: (measured.append(engine.workers), measure(blocks))
        rounds = simulation.rounds()
        rounds.run()
        assert measured == [1, 1]
        assert engine.workers == len(engine._pool.actors) == 2
    with Simulation(scenario_with(changes, engine={"vectorised": False})) as simulation:
        expected = simulation.rounds()
        expected.run()
    assert torch.equal(torch.as_tensor(rounds.weights), torch.as_tensor(expected.weights))
