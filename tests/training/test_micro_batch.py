"""The gradients of a batch's pieces add up to the batch's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fedlab.data.dataset import Task
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.criterion import build_criterion
from fedlab.training.gradient import gradient_received
from fedlab.training.loop import gradient
from fedlab.training.task import Assignment, LocalTask
from fedlab.training.terms import Batch, Objective
from tests.shared import Changes, scenario_with

ONE: Changes = {"data": {"partition": {"clients": 1}}, "engine": {"vectorised": False}}


def worker_of(*changes: Changes) -> Worker:
    scenario = scenario_with(ONE, *changes)
    return Worker(scenario, load_federation(scenario))


def gradients(worker: Worker, state: dict[str, torch.Tensor], size: int = 30) -> torch.Tensor:
    """Return the gradient of a batch and, below it, those with pieces of 1, 7 and 16 examples."""
    found = []
    for most in (None, 1, 7, 16):
        task = worker._training_task(Assignment(0, 1, worker.network.model.wire(), state=state))
        task = replace(task, micro_batch=most)
        task.network.train_mode()
        batch = drawn(task, size)
        loss = gradient(task, worker.algorithm.objective(task), None, *batch)
        found.append(torch.cat([task.network.model.gradient.clone(), loss.view(1)]))
    return torch.stack(found)


def drawn(task: LocalTask, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = task.prepare(task.examples.inputs_at(slice(size)))
    return task.draw(inputs, task.examples.targets[:size], task.augment, task.generator)


TASKS: dict[str, str] = {
    "classes": 'model.name = "cnn"',
    "smoothed labels": "client.label_smoothing = 0.2",
    "weighed classes": 'client.class_weights = "balanced"',
    "mixup": "data.augmentation = {mixup = 0.4}",
    "one output for each class": 'client.criterion = "binary"',
    "squares": 'client.criterion = "sum-of-squares"',
    "reconstruction": 'data.task = "reconstruction"\nmodel = {name = "autoencoder"}',
    "frozen batch norm": 'model = {name = "cnn", batch_norm = "frozen", '
    "layers = [{channels = 3, batch_norm = true}]}",
    "terms of the parameters": 'client = {name = "fedprox", l2 = 0.1}\nstrategy.name = "fedprox"',
    "float16": 'engine.precision = "fp16"',
}


@pytest.mark.parametrize("changes", TASKS.values(), ids=TASKS)
def test_pieces_give_the_gradient_of_the_batch(changes: str) -> None:
    worker = worker_of(changes)
    config = {"mu": 0.1, "proximal-mu": 0.1}
    train = worker._training_task
    worker._training_task = lambda asked: train(replace(asked, config=config))  # type: ignore[method-assign]
    whole, *pieces = gradients(worker, {})
    tolerance = 2e-2 if "fp16" in changes else 1e-5
    for found in pieces:
        assert (found - whole).norm() < tolerance * whole.norm()
        assert whole.norm() > 0


def test_a_contrast_of_models_is_a_mean_over_pieces_too() -> None:
    worker = worker_of('client = {name = "moon", mu = 5.0}')
    previous = worker.network.model.wire() + 0.1
    whole, *pieces = gradients(worker, {"previous": previous})
    without = gradients(worker, {})[0]
    assert (whole - without).norm() > 1e-3 * whole.norm()
    for found in pieces:
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-6)


def test_padding_counts_in_no_piece() -> None:
    task = Task("next-token", "text", (4,), 3, padding=0)
    criterion = build_criterion("cross-entropy", task)
    worker = worker_of()
    given = worker._training_task(Assignment(0, 1, worker.network.model.wire()))
    outputs = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([[1, 2, 0, 0], [0] * 4, [0] * 4, [1, 1, 2, 0], [2, 0, 0, 0], [1] * 4])
    weight = torch.nn.Parameter(torch.ones(()))
    given.network.model.call = lambda inputs: weight * inputs  # type: ignore[method-assign]
    found = []
    for most in (None, 1, 2):
        weight.grad = None
        one = replace(given, micro_batch=most)
        loss = gradient(one, Objective(criterion), None, outputs, targets)
        assert weight.grad is not None
        found.append((loss.item(), float(weight.grad)))
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert found[2] == pytest.approx(found[0], rel=1e-5)


def test_the_gradient_at_the_received_weights_is_the_same() -> None:
    worker = worker_of()
    found = []
    for most in (None, 5):
        task = worker._training_task(Assignment(0, 1, worker.network.model.wire()))
        task = replace(task, micro_batch=most)
        found.append(gradient_received(task, worker.algorithm.objective(task), 32))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("client", ["supervised", "scaffold", "apfl", "pfedme", "ditto"])
def test_a_run_in_pieces_comes_to_the_same_weights(client: str) -> None:
    strategy = client if client in ("scaffold", "pfedme") else "fedavg"
    wanted: Changes = {"client": {"name": client}, "strategy": {"name": strategy}}
    found = []
    for most in (None, 5):
        keys: Changes = {"engine": {"vectorised": False, "micro_batch": most}}
        with Simulation(scenario_with({"rounds": 2}, wanted, keys)) as simulation:
            rounds = simulation.rounds()
            rounds.run()
            found.append(torch.as_tensor(rounds.weights).clone())
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)
    assert not torch.equal(found[1], found[0])


def test_a_term_that_does_not_say_that_it_is_a_mean_is_refused() -> None:
    def spread(batch: Batch) -> torch.Tensor:
        return batch.representations.var(0).sum()

    worker = worker_of()
    task = worker._training_task(Assignment(0, 1, worker.network.model.wire()))
    objective = replace(worker.algorithm.objective(task), batch_terms=[spread])
    gradient(task, objective, None, *drawn(task, 8))
    with pytest.raises(FedlabError, match=r"^engine\.micro_batch: a term .* is no mean"):
        gradient(replace(task, micro_batch=4), objective, None, *drawn(task, 8))


REFUSED: dict[str, tuple[str, str]] = {
    "batch norm": (
        'model = {name = "cnn", layers = [{channels = 3, batch_norm = true}]}',
        "batch norm would normalise pieces",
    ),
    "prototypes": (
        'model.personal = "all"\nclient.name = "fedproto"\nstrategy.name = "fedproto"',
        "client 'fedproto' has a term that is no mean",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_couples_the_examples_of_a_batch_is_refused(changes: str, reason: str) -> None:
    keys: dict[str, Any] = {"engine": {"micro_batch": 8}}
    with pytest.raises(FedlabError, match=reason) as refused:
        Simulation(scenario_with(changes, keys))
    assert str(refused.value).startswith("engine.micro_batch: ")


def test_dense_networks_are_not_stacked_where_batches_are_cut() -> None:
    for most, note in ((8, []), (32, ["engine.micro_batch = 32 cuts no batch"])):
        with Simulation(scenario_with({"engine": {"micro_batch": most}})) as simulation:
            assert simulation.engine.stacking.decision.used == bool(note)
            found = [n.partition(":")[0] for n in simulation.notes if "micro_batch" in n]
            assert found == note
