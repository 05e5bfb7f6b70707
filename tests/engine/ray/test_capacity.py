"""Workers that a machine cannot have are refused before the first round, not waited for."""

from __future__ import annotations

from typing import Any

import pytest

from fedlab.engine import devices
from fedlab.engine.ray import capacity
from fedlab.engine.ray.capacity import fitting, workers_of
from fedlab.engine.ray.engine import RayEngineSettings
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from tests.shared import scenario_with


def settings(**keys: Any) -> RayEngineSettings:
    return RayEngineSettings(**keys)


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives this machine 16 cores and so many CUDA cards."""

    def has(count: int) -> None:
        monkeypatch.setattr("os.cpu_count", lambda: 16)
        monkeypatch.setattr(capacity, "gpus_here", lambda: count)
        monkeypatch.setattr(devices, "_accelerators", lambda: ["cuda"] if count else [])
        monkeypatch.setattr(devices, "_of_type", lambda kind: [f"{kind}:{n}" for n in range(count)])

    return has


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
    (sentence,) = capacity.objections(settings(device="cuda", **keys))
    assert sentence.startswith("engine.gpus_per_worker")
    assert told in sentence


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda:0"])
def test_gpus_are_reserved_for_workers_that_train_on_them(cards: Any, device: str) -> None:
    cards(1)
    (sentence,) = capacity.objections(settings(device=device, gpus_per_worker=1))
    assert f"engine.device = '{device}' trains on others; set device = 'cuda'" in sentence


@pytest.mark.parametrize("keys", [{}, {"gpus_per_worker": 0.5}, {"gpus_per_worker": 1}])
def test_what_fits_is_accepted(monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]) -> None:
    monkeypatch.setattr(capacity, "gpus_here", lambda: 1)
    assert list(capacity.objections(settings(device="cuda", **keys))) == []


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ({}, 16),
        ({"workers": 3}, 3),
        ({"device": "cuda"}, 2),
        ({"device": "auto"}, 2),
        ({"device": "cuda", "workers_per_device": 4}, 8),
        ({"device": "cuda:1", "workers_per_device": 4}, 4),
        ({"device": "cuda", "workers": 5}, 5),
        ({"device": "cuda", "gpus_per_worker": 0.5}, 4),
    ],
)
def test_as_many_workers_run_as_share_the_cards(
    cards: Any, keys: dict[str, Any], count: int
) -> None:
    cards(2)
    assert workers_of(settings(**keys)) == count


def test_without_a_card_auto_has_a_worker_per_core(cards: Any) -> None:
    cards(0)
    assert workers_of(settings(device="auto")) == 16


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"device": "cuda"}, ["cuda:0", "cuda:1"]),
        ({"device": "cuda:1"}, ["cuda:1"]),
        ({}, ["cpu"]),
        ({"device": "cuda", "gpus_per_worker": 0.5}, []),
    ],
)
def test_workers_are_dealt_the_cards_unless_ray_deals_them(
    cards: Any, keys: dict[str, Any], found: list[str]
) -> None:
    cards(2)
    assert capacity.devices_of(settings(**keys)) == found


@pytest.mark.parametrize(
    ("keys", "share"),
    [
        ({}, 0.0),
        ({"device": "cuda"}, 1.0),
        ({"device": "cuda", "workers_per_device": 4}, 0.25),
        ({"device": "cuda", "gpus_per_worker": 2.0}, 2.0),
    ],
)
def test_on_a_cluster_a_worker_reserves_its_share_of_a_card(
    keys: dict[str, Any], share: float
) -> None:
    reserved = capacity.reserved(settings(**keys))
    assert reserved == {"num_cpus": 1.0, "num_gpus": share, "memory": 0.0}


def test_memory_is_reserved_in_bytes_on_a_cluster_and_named_where_it_does_nothing() -> None:
    asked = settings(memory_per_worker=1.5)
    assert capacity.reserved(asked)["memory"] == 1.5e9
    (note,) = [n for n in capacity.notes(asked, 10) if "memory_per_worker" in n]
    assert "only on a cluster" in note


def test_a_run_that_asks_for_a_gpu_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, cards: Any
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cards(0)
    for keys in ({"gpus_per_worker": 1}, {"device": "cuda"}):
        scenario = scenario_with({"data": {"name": "iris"}}, engine={"name": "ray", **keys})
        with pytest.raises(FedlabError, match=r"^engine\.(gpus_per_worker|device)"):
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
