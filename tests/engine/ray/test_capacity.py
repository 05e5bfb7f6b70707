"""Workers that a machine cannot have are refused before the first round, not waited for."""

from __future__ import annotations

from typing import Any

import pytest

from fedlab.engine.ray import capacity
from fedlab.engine.ray.capacity import fitting, workers_of
from fedlab.engine.ray.engine import RayEngineSettings
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from tests.shared import scenario_with


def settings(**keys: Any) -> RayEngineSettings:
    return RayEngineSettings(**keys)


@pytest.mark.parametrize(
    ("gpus", "share", "workers"), [(1, 0.3, 3), (2, 0.5, 4), (1, 1, 1), (3, 2, 1), (0, 0.1, 0)]
)
def test_a_workers_share_lies_on_one_gpu(gpus: int, share: float, workers: int) -> None:
    assert fitting(gpus, share) == workers


@pytest.mark.parametrize(
    ("gpus", "keys", "told"),
    [
        (0, {"gpus_per_worker": 1}, "torch finds no GPU on this machine; set 0"),
        (1, {"gpus_per_worker": 0.4, "workers": 3}, "has 1 GPU; set engine.workers to 2"),
        (2, {"gpus_per_worker": 3, "workers": 1}, "which has 2 GPUs; set engine.workers to fewer"),
        (4, {"gpus_per_worker": 1.5}, "set a whole number"),
    ],
)
def test_gpus_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch, gpus: int, keys: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr(capacity, "gpus_here", lambda: gpus)
    (sentence,) = capacity.objections(settings(**keys))
    assert sentence.startswith("engine.gpus_per_worker")
    assert told in sentence


@pytest.mark.parametrize("keys", [{}, {"gpus_per_worker": 0.5}, {"gpus_per_worker": 1}])
def test_what_fits_is_accepted(monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]) -> None:
    monkeypatch.setattr(capacity, "gpus_here", lambda: 1)
    assert list(capacity.objections(settings(**keys))) == []


def test_as_many_workers_run_as_gpus_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr(capacity, "gpus_here", lambda: 2)
    assert workers_of(settings(gpus_per_worker=0.5)) == 4
    assert workers_of(settings()) == 16
    assert workers_of(settings(workers=3)) == 3


def test_a_run_that_asks_for_a_gpu_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(capacity, "gpus_here", lambda: 0)
    scenario = scenario_with(
        {"data": {"name": "iris"}}, engine={"name": "ray", "gpus_per_worker": 1}
    )
    with pytest.raises(FedlabError, match="torch finds no GPU"):
        Simulation(scenario)


@pytest.mark.parametrize(
    ("keys", "weights", "told"),
    [
        ({"workers": 8}, 10, "8 workers of 1 torch threads share 4 cores"),
        ({"workers": 1, "cpus_per_worker": 2}, 10, "does nothing on a machine of one's own"),
        ({"workers": 4}, 10**9, "4 workers need 64.5 GB or more with this model, and 8.0 GB"),
    ],
)
def test_what_goes_beyond_the_machine_is_said(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], weights: int, told: str
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(capacity, "available_memory", lambda: 8 * 10**9)
    (note,) = capacity.notes(settings(**keys), weights)
    assert told in note


def test_a_plain_run_has_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert list(capacity.notes(settings(), 1000)) == []
