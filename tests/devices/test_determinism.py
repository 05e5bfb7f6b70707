"""On a device operations add up in a fixed order, or are refused; on the CPU nothing changes."""

from __future__ import annotations

import os

import pytest
import torch
from torch.nn import functional

from fedlab import determinism
from fedlab.algorithm.client import ClientAlgorithm
from fedlab.determinism import deterministic
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.run.simulation import assemble
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment, LocalTask, Update
from tests.shared import Changes, scenario_with

pytestmark = pytest.mark.usefixtures("strict")
STRICT = torch.device("privateuseone:0")
CPU = torch.device("cpu")
ON_DEVICE = {"engine": {"device": "strict", "vectorised": False}}


class Unordered(ClientAlgorithm):
    """Uses an operation that adds up in any order on a card."""

    def update(self, task: LocalTask, fitted: object) -> Update:
        functional.adaptive_avg_pool2d(
            torch.ones(1, 1, 4, 4, device=task.device, requires_grad=True), 3
        ).sum().backward()
        return super().update(task, fitted)  # type: ignore[arg-type]


class Watching(ClientAlgorithm):
    """Reports whether its operations have to be deterministic."""

    def update(self, task: LocalTask, fitted: object) -> Update:
        update = super().update(task, fitted)  # type: ignore[arg-type]
        update.metrics["mode"] = float(torch.get_deterministic_debug_mode())
        return update

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        return {"mode": float(torch.get_deterministic_debug_mode())}


def worker_of(client: str, *changes: Changes) -> Worker:
    named = {"client": {"name": f"tests.devices.test_determinism:{client}"}}
    scenario = scenario_with(named, {"data": {"validation": 0.2}}, *changes)
    return Worker(scenario, load_federation(scenario))


def asked(worker: Worker) -> Assignment:
    return Assignment(0, 1, worker.network.model.wire().cpu())


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        (ON_DEVICE, 2.0),
        ({"engine": {"device": "strict", "deterministic": False}}, 0.0),
        ({}, 0.0),
    ],
    ids=["a device", "switched off", "the CPU"],
)
def test_clients_train_and_are_evaluated_in_that_mode(changes: Changes, mode: float) -> None:
    worker = worker_of("Watching", changes)
    assert worker.train(asked(worker)).metrics["mode"] == mode
    assert worker.evaluate(asked(worker))[1]["mode"] == mode
    assert torch.get_deterministic_debug_mode() == 0


def test_the_test_set_is_evaluated_in_that_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = worker_of("Watching", ON_DEVICE)
    found: list[int] = []
    call = worker.network.model.call
    monkeypatch.setattr(
        worker.network.model,
        "call",
        lambda inputs: (found.append(torch.get_deterministic_debug_mode()), call(inputs))[1],
    )
    worker.evaluate_rows(asked(worker).wire, 0, 10)
    assert found == [2]


def test_an_operation_without_an_order_is_refused_by_name_with_the_key() -> None:
    worker = worker_of("Unordered", ON_DEVICE)
    with pytest.raises(FedlabError) as refused:
        worker.train(asked(worker))
    sentence = str(refused.value)
    assert sentence.startswith("engine.deterministic: '_adaptive_avg_pool2d_backward' has no")
    assert "set engine.deterministic = false" in sentence
    off = worker_of("Unordered", ON_DEVICE, {"engine": {"deterministic": False}})
    on_cpu = worker_of("Unordered")
    assert torch.equal(off.train(asked(off)).weights, on_cpu.train(asked(on_cpu)).weights)


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shape"), deterministic(STRICT, True):
        raise RuntimeError("shape mismatch")


def test_a_workspace_without_an_order_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(determinism.WORKSPACE, ":0:0")
    told = (
        "Deterministic behavior was enabled, but this operation is not deterministic because it "
        "uses CuBLAS and you have CUDA >= 10.2. To enable deterministic behavior in this case, you "
        "must set an environment variable before running your PyTorch application: "
        "CUBLAS_WORKSPACE_CONFIG=:4096:8 or CUBLAS_WORKSPACE_CONFIG=:16:8."
    )
    with (
        pytest.raises(FedlabError, match=r"CUBLAS_WORKSPACE_CONFIG is ':0:0', with which"),
        deterministic(STRICT, True),
    ):
        raise RuntimeError(told)


def test_a_workspace_is_asked_for_before_a_device_is_used() -> None:
    assert os.environ[determinism.WORKSPACE] in determinism.KNOWN_WORKSPACES


def test_the_modes_before_are_put_back() -> None:
    torch.backends.cudnn.benchmark = True
    try:
        with deterministic(STRICT, True):
            assert not torch.backends.cudnn.benchmark
            assert not torch.utils.deterministic.fill_uninitialized_memory
        assert torch.backends.cudnn.benchmark
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.backends.cudnn.benchmark = False


def test_switching_it_off_is_noted_where_it_changes_anything() -> None:
    note = "bits may differ between runs: engine.deterministic is false"
    off = {"engine": {"deterministic": False}}
    assert note in assemble(scenario_with(ON_DEVICE, off)).notes
    assert note not in assemble(scenario_with(off)).notes
    assert note not in assemble(scenario_with(ON_DEVICE)).notes
