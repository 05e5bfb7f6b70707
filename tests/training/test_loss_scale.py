"""Loss scaling: gradients in float16 neither vanish nor overflow, and no step is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from fedlab.training import loss_scale
from fedlab.training.backward import add_gradient
from fedlab.training.gradient import gradient_received
from fedlab.training.loop import gradient
from fedlab.training.loss_scale import LossScale
from fedlab.training.task import Assignment, LocalTask
from fedlab.training.terms import L2, Objective
from tests.shared import Changes, scenario_with

FP16: Changes = {"engine": {"precision": "fp16"}}


def task_in(*changes: Changes) -> tuple[LocalTask, Objective]:
    """Return a client's task and objective."""
    with Simulation(scenario_with({"data": {"partition": {"clients": 1}}}, *changes)) as simulation:
        worker = simulation.engine._runner.worker  # type: ignore[attr-defined]
    task = worker._training_task(Assignment(0, 1, worker.network.model.wire()))
    task.network.train_mode()
    return task, worker.algorithm.objective(task)


def batch_of(task: LocalTask, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    return task.prepare(task.examples.inputs_at(slice(size))), task.examples.targets[:size]


def times(objective: Objective, factor: float) -> Objective:
    """Return an objective whose task loss is multiplied."""
    return replace(objective, criterion=lambda *batch: factor * objective.criterion(*batch))


def test_a_finite_gradient_is_divided_by_the_factor_and_accepted() -> None:
    scale, found = LossScale(), torch.full((3,), loss_scale.FIRST)
    assert scale.accepts(found, torch.tensor(1.0))
    assert torch.equal(found, torch.ones(3))
    assert (scale.factor, scale.repeated) == (loss_scale.FIRST, 0)


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_halves_the_factor(bad: float) -> None:
    scale = LossScale()
    assert not scale.accepts(torch.tensor([1.0, bad]), torch.tensor(1.0))
    assert (scale.factor, scale.repeated) == (loss_scale.FIRST / 2, 1)


def test_the_factor_doubles_after_many_steps_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "STEPS_TO_GROW", 3)
    scale, loss = LossScale(), torch.tensor(1.0)
    for finite in (True, True, False, True, True):
        scale.accepts(torch.tensor([1.0 if finite else float("inf")]), loss)
    assert scale.factor == loss_scale.FIRST / 2
    scale.accepts(torch.ones(1), loss)
    assert scale.factor == loss_scale.FIRST


def test_a_loss_that_is_not_finite_is_refused_at_once() -> None:
    with pytest.raises(FedlabError, match=r"^engine\.precision: in 'fp16' .* 'bf16' holds those$"):
        LossScale().accepts(torch.tensor([float("nan")]), torch.tensor(float("nan")))


def test_a_gradient_that_no_factor_makes_finite_is_refused() -> None:
    scale, endless, loss = LossScale(), torch.tensor([float("inf")]), torch.tensor(1.0)
    while scale.factor > loss_scale.LEAST:
        assert not scale.accepts(endless, loss)
    with pytest.raises(FedlabError, match="not finite"):
        scale.accepts(endless, loss)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e4])
def test_small_and_large_gradients_are_those_of_float32(factor: float) -> None:
    found = []
    for precision in ({}, FP16):
        task, objective = task_in({"model": {"name": "cnn"}}, precision)
        loss = gradient(task, times(objective, factor), None, *batch_of(task))
        found.append((task.network.model.gradient.clone(), loss))
    (expected, loss), (computed, lower) = found
    assert computed.dtype == lower.dtype == torch.float32
    assert (computed - expected).norm() < 5e-3 * expected.norm()
    torch.testing.assert_close(lower, loss, rtol=1e-3, atol=0)
    assert not torch.equal(computed, expected)


def test_without_the_factor_small_gradients_vanish() -> None:
    task, objective = task_in({"model": {"name": "cnn"}}, FP16)
    task.scale = None
    gradient(task, times(objective, 1e-8), None, *batch_of(task))
    assert task.network.model.gradient.abs().max() == 0


def test_terms_and_clipping_come_after_the_division() -> None:
    found = []
    for precision in ({}, FP16):
        task, objective = task_in(precision, {"engine": {"vectorised": False}})
        objective = replace(objective, parameter_terms=[L2(0.5)])
        gradient(task, objective, 0.01, *batch_of(task))
        found.append(task.network.model.gradient.clone())
    torch.testing.assert_close(found[1], found[0], rtol=1e-2, atol=1e-5)
    assert found[1].norm() == pytest.approx(0.01)


def test_a_repeated_gradient_counts_the_batch_once_in_running_statistics() -> None:
    layers = [{"channels": 3, "kernel_size": 3, "batch_norm": True}]
    wanted: Changes = {"model": {"name": "cnn", "layers": layers}}
    statistics = []
    for factor in (1.0, 1e5):
        task, objective = task_in(wanted, FP16)
        gradient(task, times(objective, factor), None, *batch_of(task))
        assert task.scale is not None
        assert (task.scale.repeated > 0) == (factor > 1)
        model = task.network.model
        statistics.append(model.weights[model.layout.trained.stop :].clone())
    assert len(statistics[0])
    assert torch.equal(*statistics)


def test_gradients_add_up_where_one_of_them_is_computed_again() -> None:
    task, objective = task_in(FP16)
    expected, plain = task_in()
    batches = [batch_of(task), tuple(part[8:] for part in batch_of(task))]
    for one, losses in ((task, objective), (expected, plain)):
        one.network.model.zero_gradient()
        for factor, batch in zip((1.0, 1e6), batches, strict=True):
            add_gradient(one, times(losses, factor), *batch, 0.25)
    assert task.scale is not None
    assert task.scale.repeated > 0
    found, wanted = task.network.model.gradient, expected.network.model.gradient
    assert (found - wanted).norm() < 5e-3 * wanted.norm()


def test_the_gradient_at_the_received_weights_is_that_of_float32() -> None:
    expected, found = (
        gradient_received(task, objective, 32) for task, objective in (task_in(), task_in(FP16))
    )
    assert 0 < (found - expected).norm() < 5e-3 * expected.norm()
