"""Adaptation at test time, and invariant risk, against their equations."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from clients.irm import InvariancePenalty
from clients.tent import entropy, norm_entries
from fedlab.engine.worker.worker import Worker
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from tests.shared import scenario_with

BASE = {
    "data": {
        "train_examples": 90,
        "client_test": 0.5,
        "unlabelled": [2],
        "shift": [{"name": "contrast", "strengths": [1, 1, 0.3]}],
    },
    "model": {
        "name": "cnn",
        "hidden": None,
        "layers": [{"channels": 3, "kernel_size": 3, "batch_norm": True}],
    },
    "client": {"name": "adabn"},
}


def worker(**client: Any) -> Worker:
    scenario = scenario_with(BASE, {"client": client})
    return Worker(scenario, load_federation(scenario))


def test_adabn_takes_each_channels_mean_and_variance_over_the_tested_inputs() -> None:
    own = worker()
    examples = own.federation.dataset.test
    model = own.network.model
    model.reset(model.wire().clone())
    first = next(m for m in model.module.modules() if isinstance(m, torch.nn.Conv2d))
    norm = next(m for m in model.module.modules() if isinstance(m, torch.nn.BatchNorm2d))
    own.algorithm.adapt_to_inputs(own.network, examples, own.prepare)
    with torch.no_grad():
        found = first(own.prepare(examples.inputs)).double()
    mean, variance = found.mean((0, 2, 3)), found.var((0, 2, 3))
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=2e-2, atol=1e-5)


def test_what_is_reported_is_the_adapted_network_beside_the_received_one() -> None:
    own = worker()
    wire = own.network.model.wire().clone()
    count, metrics = own.evaluate(Assignment(2, 1, wire))
    assert count == 15
    assert metrics["loss"] != metrics["global_loss"]
    again = worker().evaluate(Assignment(2, 1, wire))[1]
    assert again == metrics


def test_labels_have_no_say_in_what_the_server_adapts_to() -> None:
    own = worker(name="tent")
    wire = own.network.model.wire().clone()
    own.evaluate_rows(wire, 0, 60)
    adapted = own.network.model.weights.clone()
    own.federation.dataset.test.targets.zero_()
    own.evaluate_rows(wire, 0, 60)
    assert torch.equal(own.network.model.weights, adapted)


def test_tent_changes_scale_and_shift_alone_by_adams_first_step() -> None:
    own = worker(name="tent", test_rate=0.01)
    model = own.network.model
    before = model.parameter.detach().clone()
    chosen = norm_entries(own.network)
    assert len(chosen) == 6
    own.algorithm.adapt_to_inputs(
        own.network, own.federation.dataset.test.part(0, 100), own.prepare
    )
    change = model.parameter.detach() - before
    others = torch.ones_like(change, dtype=torch.bool)
    others[chosen] = False
    assert not change[others].any()
    # Adam's first step is the learning rate, whatever the gradient's size.
    torch.testing.assert_close(change[chosen].abs(), torch.full((6,), 0.01), rtol=1e-2, atol=1e-4)


def test_entropy_is_shannons() -> None:
    outputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    p = np.exp(outputs.numpy()) / np.exp(outputs.numpy()).sum(1, keepdims=True)
    assert np.isclose(float(entropy(outputs)), -(p * np.log(p)).sum(1).mean(), rtol=1e-5)


def test_irms_penalty_is_the_product_of_the_risks_slopes_in_the_scale() -> None:
    outputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    found = InvariancePenalty(3.0)(SimpleNamespace(outputs=outputs, targets=targets))  # type: ignore[arg-type]
    slopes = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        scale = torch.ones((), requires_grad=True)
        risk = torch.nn.functional.cross_entropy(scale * outputs[half], targets[half])
        slopes.append(torch.autograd.grad(risk, scale)[0])
    torch.testing.assert_close(found, 3.0 * slopes[0] * slopes[1])
