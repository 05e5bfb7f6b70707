"""MOON's contrastive term against its equation in NumPy."""

from typing import Any

import numpy as np
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.models.representation import represented
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from tests.shared import scenario_with

BASE = {
    "rounds": 2,
    "data": {"train_examples": 60},
    "model": {"hidden": [5]},
    "client": {"name": "moon", "steps": 1, "batch_size": 100, "optimizer": {"lr": 0.1}},
}
MOON = {"client": {"mu": 2.0, "temperature": 0.4}}


def loss(
    vector: Any, received: Any, previous: Any, inputs: Any, targets: Any
) -> np.floating[Any] | float:
    """Return cross-entropy + µ ℓ_con of a perceptron with 5 rectified hidden units."""

    def hidden(w: Any) -> Any:
        return np.maximum(inputs @ w[:320].reshape(5, 64).T + w[320:325], 0)

    def similarity(a: Any, b: Any) -> Any:
        return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    z = hidden(vector)
    scores = z @ vector[325:375].reshape(10, 5).T + vector[375:]
    likelihood = scores[np.arange(len(z)), targets] - np.log(np.exp(scores).sum(1))
    positive = np.exp(similarity(z, hidden(received)) / 0.4)
    negative = np.exp(similarity(z, hidden(previous)) / 0.4)
    contrast = -np.log(positive / (positive + negative))
    return float(-likelihood.mean() + 2.0 * contrast.mean())


def test_a_step_descends_the_papers_objective() -> None:
    scenario = scenario_with(BASE, MOON)
    worker = Worker(scenario, load_federation(scenario))
    generator = torch.Generator().manual_seed(1)
    wire = 0.3 * torch.randn(385, generator=generator)
    previous = wire + 0.2 * torch.randn(385, generator=generator)
    examples, _ = worker.federation.examples(1)
    inputs = worker.prepare(examples.inputs).flatten(1).double().numpy()
    arguments = [wire.double().numpy(), previous.double().numpy(), inputs, examples.targets.numpy()]

    update = worker.train(Assignment(1, 2, wire, state={"previous": previous}))

    x = arguments[0]
    gradient = np.empty(385)
    for k in range(385):
        nudge = np.eye(385)[k] * 1e-6
        gradient[k] = (loss(x + nudge, *arguments) - loss(x - nudge, *arguments)) / 2e-6
    np.testing.assert_allclose(update.weights.numpy(), x - 0.1 * gradient, atol=2e-6)
    torch.testing.assert_close(update.state["previous"], update.weights)


def test_the_first_time_there_is_nothing_to_contrast_with() -> None:
    first = scenario_with(BASE, MOON)
    plain = scenario_with(BASE, client={"name": "supervised"})
    federation = load_federation(first)
    worker = Worker(first, federation)
    wire = worker.network.model.wire()
    ours = worker.train(Assignment(0, 1, wire)).weights
    torch.testing.assert_close(
        ours, Worker(plain, federation).train(Assignment(0, 1, wire)).weights
    )


def test_the_representation_enters_the_head_and_leaves_no_trace() -> None:
    scenario = scenario_with(BASE, MOON)
    worker = Worker(scenario, load_federation(scenario))
    network, other = worker.network, torch.linspace(-1, 1, 385)
    inputs = worker.prepare(worker.federation.examples(0)[0].inputs)
    before = network.model.weights.clone()
    own = network.model.module(inputs)
    outputs, entered = represented(network, inputs, other)
    assert torch.equal(network.model.weights, before)
    assert entered.shape == (len(inputs), 5)
    head = other[325:375].view(10, 5), other[375:]
    torch.testing.assert_close(outputs, entered @ head[0].T + head[1])
    torch.testing.assert_close(represented(network, inputs)[0], own)
