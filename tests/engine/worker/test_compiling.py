"""A compiled network computes what it computed before, and is compiled before the first round."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.models.layout import FlatModel
from fedlab.models.representation import represented
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from tests.shared import Changes, scenario_with

COMPILED: Changes = {"engine": {"compile": True}}
TINY: Changes = {
    "rounds": 2,
    "model": {"name": "cnn", "layers": [{"channels": 3, "batch_norm": True}]},
}


def after_rounds(*changes: Changes) -> torch.Tensor:
    with Simulation(scenario_with(TINY, *changes)) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        return torch.as_tensor(rounds.weights).clone()


@pytest.mark.slow
def test_a_compiled_network_takes_the_same_steps() -> None:
    # Of one client's few steps: over many, last bits grow, as they do between two devices.
    changes: Changes = {"client": {"steps": 3}, "data": {"partition": {"clients": 1}}}
    found = []
    for compiled in (False, True):
        scenario = scenario_with(TINY, changes, {"engine": {"compile": compiled}})
        worker = Worker(scenario, load_federation(scenario))
        start = worker.network.model.wire()
        found.append(worker.train(Assignment(0, 1, start)).weights - start)
        assert (worker.network.model.compiled is not None) == compiled
    assert (found[1] - found[0]).norm() < 1e-4 * found[0].norm()
    assert found[0].norm() > 0


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let networks be "compiled" in no time; return a list of the sizes of batches they see."""
    seen: list[int] = []

    def compile_(body: Any, dynamic: bool) -> Any:
        def call(inputs: torch.Tensor) -> torch.Tensor:
            seen.append(len(inputs))
            outputs: torch.Tensor = body(inputs)
            return outputs

        return call

    monkeypatch.setattr(torch, "compile", compile_)
    return seen


def worker_of(*changes: Changes) -> Worker:
    scenario = scenario_with(TINY, COMPILED, *changes)
    return Worker(scenario, load_federation(scenario))


def test_it_is_compiled_before_the_first_round_by_a_batch_of_the_usual_size(
    renamed: list[int],
) -> None:
    worker = worker_of()
    assert renamed == [32, 32]
    other = scenario_with(TINY)
    plain = Worker(other, load_federation(other))
    assert torch.equal(worker.network.model.weights, plain.network.model.weights)
    assert worker.network.model.gradient.abs().max() == 0


def test_training_and_evaluation_call_the_compiled_network(renamed: list[int]) -> None:
    assert torch.equal(after_rounds(COMPILED), after_rounds())
    assert len(renamed) > 50


def test_what_enters_the_head_is_seen_all_the_same(renamed: list[int]) -> None:
    worker = worker_of()
    inputs = worker.prepare(worker.federation.dataset.test.inputs[:3])
    before = len(renamed)
    outputs, entered = represented(worker.network, inputs)
    assert len(renamed) == before
    assert torch.equal(worker.network.model.call(inputs), outputs)
    assert len(renamed) == before + 1
    assert len(entered) == 3


def test_the_rest_after_a_frozen_prefix_is_compiled(
    renamed: list[int], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
    frozen: Changes = {
        "model": {"name": "mlp", "trainable": "head", "layers": None},
        "engine": {"vectorised": False},
    }
    assert torch.equal(after_rounds(frozen, COMPILED), after_rounds(frozen))


def test_a_network_that_cannot_be_compiled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_(body: Any, dynamic: bool) -> Any:
        def call(inputs: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no compiler is there")

        return call

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(FedlabError) as refused:
        worker_of()
    assert str(refused.value) == (
        "engine.compile: torch cannot compile 'cnn' for 'cpu' (RuntimeError: no compiler is there)"
        "; set false"
    )


def test_it_does_not_go_with_checkpointing() -> None:
    both: Changes = {"engine": {"compile": True, "checkpointing": True}}
    with pytest.raises(FedlabError, match=r"^engine\.checkpointing: a compiled network decides"):
        Simulation(scenario_with(TINY, both))


def test_a_client_that_looks_into_the_network_is_told_what_is_compiled(renamed: list[int]) -> None:
    for client, count in (("moon", 1), ("supervised", 0)):
        with Simulation(scenario_with(TINY, COMPILED, {"client": {"name": client}})) as simulation:
            assert sum("looks into the network" in note for note in simulation.notes) == count


def test_a_network_is_called_as_written_inside_the_block_alone(renamed: list[int]) -> None:
    model: FlatModel = worker_of().network.model
    compiled = model.compiled
    with model.as_written():
        assert model.compiled is None
    assert model.compiled is compiled
