"""Flower's nodes train on a device: that of the scenario, or their own machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, Message, MessageType, RecordDict

from fedlab.engine.inline import InlineEngine
from fedlab.engine.worker.clientapp import app
from fedlab.engine.worker.of_process import worker_of
from fedlab.run.simulation import Simulation
from fedlab.scenario import dumps
from fedlab.scenario.parts import load_federation
from tests.devices.strict import counted
from tests.devices.test_ray import outcome
from tests.engine.worker.test_clientapp import message
from tests.shared import scenario_with

pytestmark = pytest.mark.usefixtures("strict")


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Leave this process without a worker, and with the device that it had."""
    before = torch.accelerator.current_device_index()
    worker_of.cache_clear()
    yield
    worker_of.cache_clear()
    torch.accelerator.set_device_index(before)


def reply(device: str, node: dict[str, Any]) -> tuple[Message, torch.device]:
    """Return what a node answers, and the device that its worker had."""
    scenario = scenario_with(engine={"device": device})
    text = dumps(scenario)
    engine = InlineEngine(scenario.engine, scenario, load_federation(scenario))  # type: ignore[arg-type]
    weights = engine._runner.worker.network.model.wire().cpu().numpy()
    context = Context(1, 2, {"partition-id": 0, **node}, RecordDict(), {"scenario": text})
    answer = app(message(weights, MessageType.TRAIN), context)
    return answer, worker_of(text, 0, node.get("device")).device


@pytest.mark.parametrize(
    ("device", "node", "place"),
    [
        ("cpu", {}, "cpu"),
        ("strict", {}, "privateuseone:0"),
        ("auto", {}, "privateuseone:0"),
        ("cpu", {"device": "strict:1"}, "privateuseone:1"),
        ("strict", {"device": "cpu"}, "cpu"),
    ],
)
def test_a_node_trains_on_its_own_device_or_the_scenarios(
    device: str, node: dict[str, Any], place: str
) -> None:
    answer, found = reply(device, node)
    assert found == torch.device(place)
    expected, _ = reply("cpu", {})
    bits = [r.content.array_records["arrays"]["weights"].numpy() for r in (answer, expected)]
    assert (bits[0] == bits[1]).all()


def test_a_node_that_has_no_such_device_says_so() -> None:
    scenario = scenario_with()
    context = Context(
        1, 2, {"partition-id": 0, "device": "cuda:7"}, RecordDict(), {"scenario": dumps(scenario)}
    )
    with pytest.raises(Exception, match="--node-config device: there is no device 'cuda:7' here"):
        app(message(torch.zeros(3).numpy()), context)


def test_the_server_evaluates_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedlab.engine.flower.engine import FlowerGridEngine
    from tests.engine.flower.test_engine import Silent

    scenario = scenario_with(data={"partition": {"clients": 2}}, engine={"device": "strict"})
    grid: Any = Silent()
    engine = FlowerGridEngine(scenario.engine, scenario, load_federation(scenario), grid)  # type: ignore[arg-type]
    wire = Simulation(scenario_with(data={"partition": {"clients": 2}})).initial_weights
    with counted() as copies:
        found = engine.evaluate(wire).compute()
    assert copies[0].to_device > 0
    assert (
        found
        == InlineEngine(
            scenario.engine,
            scenario,
            load_federation(scenario),  # type: ignore[arg-type]
        )
        .evaluate(wire)
        .compute()
    )
    assert engine.device_models() == ""


@pytest.mark.slow
def test_flowers_simulation_trains_on_a_device(tmp_path: Path) -> None:
    weights, places = outcome(tmp_path, name="flower", device="strict:1", cpus=1)
    on_cpu, _ = outcome(tmp_path, name="inline")
    assert places == {1.0}
    torch.testing.assert_close(weights, on_cpu, rtol=1e-5, atol=1e-6)
