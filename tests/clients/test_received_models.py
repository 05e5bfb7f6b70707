"""AFL's and IFCA's clients, which measure the models they receive, against NumPy."""

from typing import Any

import numpy as np
import pytest
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from tests.shared import scenario_with

BASE = {
    "rounds": 2,
    "data": {"name": "iris", "validation": 0.0},
    "model": {"name": "linear"},
    "client": {"batch_size": 1000, "optimizer": {"lr": 0.1}},
}


class Client:
    """Client 1, and its softmax regression on all of its examples in NumPy."""

    def __init__(self, name: str, attack: str = "") -> None:
        scenario = scenario_with(BASE, attack, client={"name": name}, strategy={"name": name})
        self.worker = Worker(scenario, load_federation(scenario))
        examples, _ = self.worker.federation.examples(1)
        self.inputs = self.worker.prepare(examples.inputs).double().numpy()
        self.wanted = np.eye(3)[examples.targets.numpy()]

    def models(self, count: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(7)
        return [torch.randn(15, generator=generator) for _ in range(count)]

    def likelihoods(self, model: torch.Tensor) -> np.ndarray[Any, Any]:
        matrix, bias = model[:12].double().numpy().reshape(3, 4), model[12:].double().numpy()
        powers = np.exp(self.inputs @ matrix.T + bias)
        return powers / powers.sum(1, keepdims=True)

    def loss(self, model: torch.Tensor) -> float:
        return float(-np.log((self.likelihoods(model) * self.wanted).sum(1)).mean())

    def stepped(self, model: torch.Tensor) -> np.ndarray[Any, Any]:
        error = (self.likelihoods(model) - self.wanted) / len(self.inputs)
        slope = np.concatenate([(error.T @ self.inputs).ravel(), error.sum(0)])
        return model.double().numpy() - 0.1 * slope

    def train(self, models: list[torch.Tensor]) -> Any:
        arrays = {f"cluster-{number}": model for number, model in enumerate(models[1:], 1)}
        return self.worker.train(Assignment(1, 1, models[0].clone(), arrays=arrays))


def test_afl_reports_the_loss_of_what_it_received_and_trains() -> None:
    client = Client("afl")
    models = client.models(1)
    update = client.train(models)
    assert update.metrics["received_loss"] == pytest.approx(client.loss(models[0]), rel=1e-5)
    np.testing.assert_allclose(update.weights, client.stepped(models[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_ifca_trains_the_model_of_least_loss(order: tuple[int, ...]) -> None:
    client = Client("ifca")
    drawn = client.models(3)
    models = [drawn[number] for number in order]
    losses = [client.loss(model) for model in models]
    best = losses.index(min(losses))
    update = client.train(models)
    assert update.metrics["cluster"] == best
    np.testing.assert_allclose(update.weights, client.stepped(models[best]), rtol=1e-5, atol=1e-6)


def test_of_models_that_fit_alike_ifca_takes_the_first() -> None:
    client = Client("ifca")
    (model,) = client.models(1)
    assert client.train([model, model.clone()]).metrics["cluster"] == 0


def test_an_attacker_reverses_its_step_from_the_model_it_chose() -> None:
    attack = '[attack]\nname = "sign-flip"\nclients = [1]\nscale = 2.0\n'
    client = Client("ifca", attack)
    models = sorted(client.models(3), key=client.loss, reverse=True)
    update = client.train(models)
    chosen = models[2].double().numpy()
    sent = chosen - 2 * (client.stepped(models[2]) - chosen)
    np.testing.assert_allclose(update.weights.numpy(), sent, rtol=1e-4, atol=1e-5)
