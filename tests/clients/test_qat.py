"""Quantisation-aware training: the forward pass is rounded, the gradient moves float weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.models.quantisation import rounded, rounded_activations
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario.parts import load_federation
from fedlab.training.fake_quantisation import fake_quantisation
from fedlab.training.task import Assignment
from fedlab.use.compress import Options, compress
from fedlab.use.loading import load_trained
from tests.shared import Changes, scenario_with

QAT = {"client": {"name": "qat", "bits": 3, "activation_bits": 4, "steps": 1, "batch_size": 16}}
MODELS: dict[str, Changes] = {
    "MLP": {"model": {"hidden": [6]}},
    "batch norm": {
        "model": {"name": "cnn", "layers": [{"channels": 3, "batch_norm": True}], "hidden": [5]}
    },
    "attention": {"model": {"name": "vit", "depth": 1, "width": 8, "heads": 2}},
}


def worker_for(*changes: Changes) -> Worker:
    scenario = scenario_with(QAT, *changes)
    return Worker(scenario, load_federation(scenario))


def test_a_step_is_that_of_the_straight_through_estimator() -> None:
    worker = worker_for(MODELS["MLP"], "client.optimizer.lr = 0.5")
    wire = worker.network.model.wire()
    views = worker.network.model.layout.wire_views(wire)
    task = worker._training_task(Assignment(0, 1, wire))
    examples = task.examples.take(torch.randperm(len(task.examples), generator=task.generator)[:16])
    x = task.prepare(examples.inputs).flatten(1).double().numpy()
    y = np.eye(10)[examples.targets.numpy()]

    def quantised(matrix: torch.Tensor) -> np.ndarray:  # type: ignore[type-arg]
        w = matrix.double().numpy()
        step = np.abs(w).max(1, keepdims=True) / 3
        return np.round(w / step) * step

    def entering(a: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        low, high = min(a.min(), 0), max(a.max(), 0)
        step = (high - low) / 15
        zero = np.round(-low / step)
        return (np.clip(np.round(a / step + zero), 0, 15) - zero) * step

    w1, w2 = quantised(views["hidden.0.0.weight"]), quantised(views["head.weight"])
    b1, b2 = (views[n].double().numpy() for n in ("hidden.0.0.bias", "head.bias"))
    first = entering(x) @ w1.T + b1
    hidden = np.maximum(first, 0)
    scores = entering(hidden) @ w2.T + b2
    chances = np.exp(scores - scores.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    error = (chances - y) / 16
    below = error @ w2 * (first > 0)
    reached = worker.network.model.layout.wire_views(worker.train(Assignment(0, 1, wire)).weights)
    for name, gradient in (
        ("head.weight", error.T @ entering(hidden)),
        ("hidden.0.0.weight", below.T @ entering(x)),
        ("hidden.0.0.bias", below.sum(0)),
    ):
        wanted = views[name].double().numpy() - 0.5 * gradient
        np.testing.assert_allclose(reached[name], wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_inside_the_block_outputs_are_those_of_the_stored_network(name: str) -> None:
    network = worker_for(MODELS[name]).network
    network.evaluation_mode()
    inputs = torch.randn(3, 1, 8, 8)
    plain = network.model.call(inputs)
    with fake_quantisation(network, 3, None):
        found = network.model.call(inputs)
    assert torch.equal(network.model.call(inputs), plain)
    for parameter in network.model.module.parameters():
        if parameter.ndim > 1:
            parameter.data.copy_(rounded(parameter.data, 3))
    torch.testing.assert_close(found, network.model.call(inputs), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, plain, atol=1e-3)


def test_activations_keep_zero_and_their_range() -> None:
    values = torch.tensor([0.0, 0.1, 0.52, 1.5])
    found = rounded_activations(values, 2)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.5, 1.5]))
    assert not rounded_activations(torch.zeros(3), 8).any()


@pytest.mark.parametrize("name", ["MLP", "batch norm"])
def test_the_test_figures_are_those_of_the_network_that_is_stored(
    tmp_path: Path, name: str
) -> None:
    scenario = scenario_with(QAT, MODELS[name], "client.steps = 20")
    run(folder := RunFolder.create(tmp_path, "run", scenario))
    tested = json.loads((folder.path / "metrics.jsonl").read_text().splitlines()[-1])["test"]
    _, rows = compress(load_trained(folder.path), Options(bits=3), tmp_path / "small")
    assert rows[1].metrics["loss"] == pytest.approx(tested["loss"], rel=1e-5)
    assert rows[0].metrics["loss"] != pytest.approx(tested["loss"], rel=2e-4)
