"""FedMD against Algorithm 1, worked in NumPy, for a client whose architecture is not the first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fedlab.algorithm.vector_strategy import Reply
from fedlab.engine.worker.worker import Worker
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from strategies.fedmd import FedMd, FedMdSettings
from tests.shared import scenario_with

RATE = 0.2
# Client 1 has a linear model, client 0 a layer more. Every batch is all examples, so that each step
# is one of plain gradient descent.
BASE = {
    "data": {
        "name": "iris",
        "validation": 0.0,
        "client_test": 0.25,
        "public": {"examples": 20},
    },
    "model": {"hidden": [3], "personal": "all", "others": [{"name": "linear"}]},
    "client": {
        "name": "fedmd",
        "epochs": 1,
        "public_epochs": 2,
        "private_epochs": 3,
        "digest_epochs": 2,
        "batch_size": 1000,
        "public_batch_size": 1000,
        "optimizer": {"lr": RATE},
    },
    "strategy": {"name": "fedmd"},
}
NOTHING = torch.empty(0)


class Linear:
    """A linear model of three classes in NumPy: matrix, then bias."""

    def __init__(self, weights: Any) -> None:
        weights = np.asarray(weights, np.float64)
        self.matrix, self.bias = weights[:12].reshape(3, 4), weights[12:]

    @property
    def weights(self) -> Any:
        return np.concatenate([self.matrix.ravel(), self.bias])

    def scores(self, inputs: Any) -> Any:
        return inputs @ self.matrix.T + self.bias

    def descend(self, inputs: Any, error: Any) -> None:
        """Take a step, given the loss's derivative by the scores."""
        self.matrix = self.matrix - RATE * error.T @ inputs
        self.bias = self.bias - RATE * error.sum(axis=0)

    def learn(self, inputs: Any, classes: Any) -> None:
        """Take a step of the mean cross-entropy."""
        powers = np.exp(self.scores(inputs))
        share = powers / powers.sum(axis=1, keepdims=True)
        self.descend(inputs, (share - np.eye(3)[classes]) / len(inputs))

    def approach(self, inputs: Any, wanted: Any) -> None:
        """Take a step of the mean absolute difference from the wanted scores."""
        away = np.sign(self.scores(inputs) - wanted)
        self.descend(inputs, away / away.size)

    def accuracy(self, inputs: Any, classes: Any) -> float:
        return float((self.scores(inputs).argmax(axis=1) == classes).mean())


class Party:
    """Client 1, and its examples in NumPy."""

    def __init__(self) -> None:
        made: Any = scenario_with(BASE)
        self.worker = Worker(made, load_federation(made))
        federation = self.worker.federation
        assert federation.public is not None
        parts = (federation.public, federation.examples(1)[0], federation.evaluation_examples(1))
        self.public, self.own, self.test = (
            (part.inputs.double().numpy(), part.targets.numpy()) for part in parts
        )

    def train(self, number: int, state: Any, **arrays: Any) -> Any:
        sent = {name.replace("_", "-"): torch.tensor(a).float() for name, a in arrays.items()}
        return self.worker.train(Assignment(1, number, NOTHING, sent, state=state))

    def alone(self, first: Any) -> Linear:
        """Return what transfer learning comes to."""
        model = Linear(first)
        for _ in range(2):
            model.learn(*self.public)
        for _ in range(3):
            model.learn(*self.own)
        return model


def test_the_first_round_is_transfer_learning_and_scores() -> None:
    party = Party()
    first = party.worker._architectures[1].network.model.initial
    update = party.train(1, {}, public_rows=[2.0, 7.0, 11.0])
    model = party.alone(first)
    np.testing.assert_allclose(update.state["personal"], model.weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(update.state["before-collaboration"], update.state["personal"])
    scores = model.scores(party.public[0][[2, 7, 11]])
    np.testing.assert_allclose(update.arrays["scores"], scores.ravel(), rtol=1e-4, atol=1e-5)
    assert update.weights.numel() == 0
    assert "digest_loss" not in update.metrics


def test_later_rounds_digest_the_consensus_and_revisit_own_data() -> None:
    party = Party()
    start = torch.randn(15, generator=torch.Generator().manual_seed(1))
    before = torch.randn(15, generator=torch.Generator().manual_seed(2))
    rows, consensus = [1, 4, 5, 19], np.random.default_rng(0).normal(size=(4, 3))
    update = party.train(
        2,
        {"personal": start, "before-collaboration": before},
        public_rows=[0.0, 3.0],
        consensus=consensus.ravel(),
        consensus_rows=rows,
    )
    model = Linear(start.numpy())
    first_difference = np.abs(model.scores(party.public[0][rows]) - consensus).mean()
    model.approach(party.public[0][rows], consensus)
    second_difference = np.abs(model.scores(party.public[0][rows]) - consensus).mean()
    model.approach(party.public[0][rows], consensus)
    model.learn(*party.own)
    np.testing.assert_allclose(update.state["personal"], model.weights, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(update.state["before-collaboration"], before)
    scores = model.scores(party.public[0][[0, 3]])
    np.testing.assert_allclose(update.arrays["scores"], scores.ravel(), rtol=1e-4, atol=1e-5)
    mean = (first_difference + second_difference) / 2
    assert update.metrics["digest_loss"] == pytest.approx(mean, rel=1e-4)


def test_a_latecomer_learns_alone_first_and_then_digests() -> None:
    party = Party()
    first = party.worker._architectures[1].network.model.initial
    update = party.train(2, {}, public_rows=[0.0], consensus=[0.5, -0.5, 1.0], consensus_rows=[6.0])
    model = party.alone(first)
    before = model.weights
    for _ in range(2):
        model.approach(party.public[0][[6]], np.array([[0.5, -0.5, 1.0]]))
    model.learn(*party.own)
    np.testing.assert_allclose(update.state["before-collaboration"], before, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(update.state["personal"], model.weights, rtol=1e-4, atol=1e-5)


def test_its_model_is_reported_beside_the_one_before() -> None:
    party = Party()
    own = torch.randn(15, generator=torch.Generator().manual_seed(3))
    before = torch.randn(15, generator=torch.Generator().manual_seed(4))
    state = {"personal": own, "before-collaboration": before}
    count, found = party.worker.evaluate(Assignment(1, 3, NOTHING, state=state))
    assert count == len(party.test[0])
    assert found["accuracy"] == pytest.approx(Linear(own.numpy()).accuracy(*party.test))
    assert found["before_accuracy"] == pytest.approx(Linear(before.numpy()).accuracy(*party.test))
    _, newcomer = party.worker.evaluate(Assignment(1, 3, NOTHING))
    assert newcomer["accuracy"] == newcomer["before_accuracy"]


def test_clients_are_dealt_the_architectures_in_turn() -> None:
    worker = Party().worker
    sizes = [worker._architecture(client).network.model.layout.size for client in range(3)]
    assert sizes == [3 * 4 + 3 + 3 * 3 + 3, 15, 3 * 4 + 3 + 3 * 3 + 3]


def test_the_server_sends_mean_scores_with_their_examples() -> None:
    strategy = FedMd(FedMdSettings(subset=3))
    strategy.public = range(8)  # type: ignore[assignment]
    np.random.seed(0)
    first = strategy.broadcast(1, np.empty(0))
    assert list(first) == ["public-rows"]
    assert len(set(first["public-rows"])) == 3
    consensus = np.array([0.5, 1.0, -2.0])
    replies = [Reply(2, 2.0, np.empty(0), {"scores": consensus}, {})]
    assert strategy.step(1, np.empty(0), replies).size == 0
    again = FedMd(FedMdSettings(subset=3))
    again.public = strategy.public
    again.load_state_dict(strategy.state_dict())
    second = again.broadcast(2, np.empty(0))
    np.testing.assert_array_equal(second["consensus"], consensus)
    np.testing.assert_array_equal(second["consensus-rows"], first["public-rows"])
    assert list(second["public-rows"]) != list(first["public-rows"])
    assert strategy.settings.weighting == "clients"
