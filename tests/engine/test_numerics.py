"""What ``engine.precision`` and ``engine.tf32`` ask for and a machine has, on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlab.engine import numerics
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from tests.shared import Changes, scenario_with

CPU = torch.device("cpu")


def notes_of(*changes: Changes) -> list[str]:
    with Simulation(scenario_with(*changes)) as simulation:
        return [note for note in simulation.notes if note.startswith("engine.")]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_clients_and_evaluation_compute_in_it_and_the_server_does_not(precision: str) -> None:
    with Simulation(scenario_with({"engine": {"precision": precision}})) as simulation:
        worker = simulation.engine._runner.worker  # type: ignore[attr-defined]
        assert worker.network.model.lower == numerics.LOWER[precision]
        assert simulation.network.model.lower is None
        assert simulation.engine.stacking.decision.reason == "stacked networks compute in float32"


def test_further_architectures_compute_in_it_too() -> None:
    changes: Changes = {
        "model": {"personal": "all", "others": [{"name": "cnn"}]},
        "client": {"name": "fedproto"},
        "strategy": {"name": "fedproto"},
        "engine": {"precision": "bf16"},
    }
    with Simulation(scenario_with(changes)) as simulation:
        worker = simulation.engine._runner.worker  # type: ignore[attr-defined]
        found = [one.network.model.lower for one in worker._architectures]
        assert found == [torch.bfloat16, torch.bfloat16]


@pytest.mark.parametrize("has_units", [False, True])
def test_a_processor_without_units_for_it_is_slow_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, has_units: bool
) -> None:
    monkeypatch.setattr(numerics, "_has_units_for", lambda wanted: has_units)
    found = notes_of({"engine": {"precision": "bf16"}})
    assert len(found) == (not has_units)
    assert notes_of() == []


def test_a_network_that_the_processor_cannot_compute_in_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def call(self: Any, inputs: torch.Tensor, weights: Any = None) -> torch.Tensor:
        if self.lower is not None:
            raise RuntimeError("could not create a primitive. More about that")
        return torch.zeros(len(inputs), 10)

    monkeypatch.setattr("fedlab.models.layout.FlatModel.call", call)
    with pytest.raises(FedlabError) as refused:
        Simulation(scenario_with({"engine": {"precision": "bf16"}}))
    assert str(refused.value).startswith(
        "engine.precision: this processor cannot compute 'mlp' in 'bf16' (RuntimeError: could not "
        "create a primitive"
    )


def test_tf32_on_a_device_without_it_is_said_to_do_nothing() -> None:
    found = notes_of({"engine": {"tf32": True}})
    assert found == ["engine.tf32: 'cpu' has no TF32; float32 is computed as float32"]


@pytest.mark.parametrize(("wanted", "kind"), [(True, "tf32"), (False, "ieee")])
def test_tf32_is_what_the_scenario_says_on_nvidias_devices(wanted: bool, kind: str) -> None:
    cudnn: Any = torch.backends.cudnn
    switches = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]
    before = [switch.fp32_precision for switch in switches]
    try:
        engine = scenario_with({"engine": {"tf32": wanted}}).engine
        numerics.use_tf32(engine, CPU)
        assert [switch.fp32_precision for switch in switches] == before
        numerics.use_tf32(engine, torch.device("cuda:0"))
        assert [switch.fp32_precision for switch in switches] == [kind] * 3
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def test_numbers_are_told_apart_by_what_they_are_computed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(numerics, "has_tf32", lambda device: True)
    found = [
        numerics.computed_in(scenario_with({"engine": keys}).engine, CPU)
        for keys in ({}, {"precision": "bf16"}, {"tf32": True}, {"precision": "fp16", "tf32": True})
    ]
    assert found[0] == ""
    assert len(set(found)) == 4
