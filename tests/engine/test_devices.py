"""Which device `engine.device` asks for, and what is said where there is none such."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlab.engine import devices
from fedlab.errors import FedlabError, FedlabErrors
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from tests.shared import scenario_with


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives this machine the devices of these types, so many of each."""

    def has(**counts: int) -> None:
        monkeypatch.setattr(devices, "_accelerators", lambda: list(counts))
        names = {kind: [f"{kind}:{n}" for n in range(count)] for kind, count in counts.items()}
        names["mps"] = ["mps"]
        monkeypatch.setattr(devices, "_of_type", names.__getitem__)

    return has


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("cpu", "cpu"),
        ("auto", "cuda:0"),
        ("cuda", "cuda:0"),
        ("cuda:1", "cuda:1"),
        ("mps", "mps"),
    ],
)
def test_a_device_is_found_by_its_type_or_its_name(machine: Any, wanted: str, found: str) -> None:
    machine(cuda=2, mps=1)
    assert devices.resolved(wanted) == torch.device(found)


def test_auto_is_the_cpu_where_there_is_nothing_else(machine: Any) -> None:
    machine()
    assert devices.resolved("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("wanted", "counts", "sentence"),
    [
        ("cuda", {}, "there is no device of type 'cuda' here; available: cpu"),
        ("gpu", {"cuda": 1}, "there is no device of type 'gpu' here; available: cpu, cuda:0"),
        ("cuda:2", {"cuda": 2}, "there is no device 'cuda:2' here; available: cpu, cuda:0, cuda:1"),
    ],
)
def test_a_device_that_is_not_there_is_refused_and_those_that_are_named(
    machine: Any, wanted: str, counts: dict[str, int], sentence: str
) -> None:
    machine(**counts)
    with pytest.raises(FedlabError, match=f"^engine.device: {sentence}$"):
        devices.resolved(wanted)


@pytest.mark.parametrize("engine", ["inline", "ray", "flower"])
def test_a_run_on_a_device_that_is_not_there_does_not_begin(machine: Any, engine: str) -> None:
    machine()
    scenario = scenario_with(engine={"name": engine, "device": "cuda"})
    with pytest.raises(FedlabError, match=r"^engine\.device: there is no device of type 'cuda'"):
        Simulation(scenario)


def test_a_share_of_a_card_that_flower_cannot_deal_is_refused(machine: Any) -> None:
    machine(cuda=1)
    for keys, sentence in (
        ({"device": "cpu", "gpus_per_client": 0.5}, "Ray deals CUDA cards, and engine.device is"),
        ({"device": "cuda", "gpus_per_client": 64.0}, "this machine has 0 CUDA cards; set 0$"),
    ):
        scenario = scenario_with(engine={"name": "flower", **keys})
        with pytest.raises(FedlabError, match=rf"^engine\.gpus_per_client = [\d.]+: .*{sentence}"):
            Simulation(scenario)


@pytest.mark.parametrize("name", ["", "CUDA", "cuda:", "cuda:x", "cuda 1", "cuda:1:1", "cuda:-1"])
def test_a_name_that_is_none_is_refused_with_the_scenario(name: str) -> None:
    with pytest.raises(FedlabErrors, match=r"engine\.device"):
        scenario_with(engine={"device": name})


def test_the_cpu_is_described() -> None:
    first = devices.described()[0]
    assert first.name == "cpu"
    assert first.model
    assert first.memory is None or first.memory > 1 << 28
    assert "float32" in first.precisions


def test_the_usual_device_is_the_cpu() -> None:
    scenario: Scenario = scenario_with()
    assert scenario.engine.device == "cpu"
