"""Terms that align features, against their equations written in NumPy."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from clients.coral import MomentDistance
from clients.dann import Deception, discriminated, first_discriminator
from clients.mmd import Embedding, EmbeddingDistance
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from fedlab.training.terms import Batch
from tests.shared import scenario_with

TARGET = {"data": {"unlabelled": [2], "shift": [{"name": "rotation", "strengths": [0, 0, 40]}]}}
BASE = {
    "data": {"train_examples": 90, "validation": 0.0},
    "model": {"hidden": [5]},
    "client": {"batch_size": 100, "optimizer": {"lr": 0.1}},
    "strategy": {"name": "domain-means"},
}


def features(count: int, seed: int, size: int = 4) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)) + 0.3 * seed


def batch(representations: torch.Tensor) -> Batch:
    found: Any = SimpleNamespace(representations=representations)
    return found


def moments(values: torch.Tensor) -> torch.Tensor:
    return torch.cat([values.mean(0), (values.T @ values / len(values)).flatten()])


def test_coral_is_a_quarter_of_the_mean_square_of_covariances_apart() -> None:
    own, others = features(30, 1), features(50, 2)
    term = MomentDistance(2.0, 0.0, moments(others))
    apart = np.cov(own.T.numpy()) - np.cov(others.T.numpy(), bias=True)
    wanted = 2.0 * (apart**2).sum() / (4 * 4**2)
    assert math.isclose(float(term(batch(own))), wanted, rel_tol=1e-4)


def test_means_apart_count_where_they_are_asked_for() -> None:
    own, others = features(30, 1), features(50, 2)
    both, one = (MomentDistance(2.0, w, moments(others))(batch(own)) for w in (3.0, 0.0))
    apart = (own.mean(0) - others.mean(0)).square().mean()
    assert math.isclose(float(both - one), 3 * float(apart), rel_tol=1e-4)


def test_moments_told_are_those_of_all_batches_together() -> None:
    term = MomentDistance(1.0, 1.0, None)
    first, second = features(10, 1), features(20, 2)
    assert float(term(batch(first))) == 0
    term(batch(second))
    torch.testing.assert_close(term.vector(), moments(torch.cat([first, second])))


def test_random_features_give_the_mean_of_gaussian_kernels() -> None:
    bandwidths = (0.5, 1.0)
    embedded = Embedding(bandwidths, 20_000)(features(6, 1)).numpy()
    unit = features(6, 1).numpy()
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    squares = ((unit[:, None] - unit[None]) ** 2).sum(-1)
    kernel = np.mean([np.exp(-squares / (2 * s**2)) for s in bandwidths], axis=0)
    np.testing.assert_allclose(embedded @ embedded.T, kernel, atol=0.03)


def test_mmd_is_that_of_the_kernel_over_both_samples() -> None:
    own, others = features(30, 1), features(40, -2)
    embed = Embedding((1.0,), 20_000)
    told = EmbeddingDistance(1.0, embed, None)
    told(batch(others))
    found = float(EmbeddingDistance(2.0, embed, told.vector())(batch(own)))
    x, y = (v.numpy() / np.linalg.norm(v.numpy(), axis=1, keepdims=True) for v in (own, others))

    def mean_kernel(a: Any, b: Any) -> float:
        return float(np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 2).mean())

    wanted = 2 * (mean_kernel(x, x) - 2 * mean_kernel(x, y) + mean_kernel(y, y))
    assert math.isclose(found, wanted, rel_tol=0.05)


def test_the_discriminator_descends_what_the_features_ascend() -> None:
    received, values = first_discriminator(4, 3), features(8, 1).requires_grad_()
    term = Deception(0.7, 1.0, 3, 0.2, received)
    term(batch(values)).backward()

    plain = received.clone().requires_grad_()
    given = values.detach().clone().requires_grad_()
    loss = torch.nn.functional.softplus(-discriminated(given, plain, 3)).mean()
    loss.backward()
    assert values.grad is not None
    assert given.grad is not None
    assert plain.grad is not None
    torch.testing.assert_close(values.grad, -0.7 * given.grad)
    torch.testing.assert_close(term.vector(), received - 0.2 * plain.grad)


def test_the_reversal_rises_as_in_the_paper() -> None:
    scenario = scenario_with(BASE, TARGET, {"rounds": 11, "client": {"name": "dann"}})
    from clients.dann import Dann

    algorithm = Dann(scenario.client)  # type: ignore[arg-type]
    for number, progress in ((1, 0.0), (6, 0.5), (11, 1.0)):
        task: Any = SimpleNamespace(round=number, first_round=1, rounds=11)
        wanted = 2 / (1 + math.exp(-10 * progress)) - 1
        assert math.isclose(algorithm.reversal(task), wanted, abs_tol=1e-9)


@pytest.mark.parametrize("client", ["coral", "mmd", "dann"])
def test_labels_of_clients_without_any_are_not_looked_at(client: str) -> None:
    scenario = scenario_with(BASE, TARGET, {"client": {"name": client, "steps": 3}})
    worker = Worker(scenario, load_federation(scenario))
    wire = worker.network.model.wire().clone()
    first = worker.train(Assignment(2, 1, wire))
    assert first.examples == 30
    assert first.metrics["train_loss"] == 0
    assert not first.arrays["domain-source"].any()
    source = worker.train(Assignment(0, 1, wire)).arrays["domain-source"][1:]
    told = {"domain-source": source, "domain-target": first.arrays["domain-target"][1:]}
    update = worker.train(Assignment(2, 2, wire, arrays=told))
    assert torch.isfinite(update.weights).all()
    assert not torch.equal(update.weights, wire)


def test_the_server_means_over_either_kind_alone() -> None:
    with Simulation(scenario_with(BASE, TARGET, {"rounds": 1, "client": {"name": "coral"}})) as s:
        wire = s.initial_weights.clone()
        s.rounds().run()
        strategy: Any = s.strategy
        strategy = getattr(strategy, "strategy", strategy)
    scenario = s.scenario
    worker = Worker(scenario, s.federation)
    told = [worker.train(Assignment(client, 1, wire)) for client in range(3)]
    sources = [u.arrays["domain-source"].double().numpy()[1:] for u in told[:2]]
    wanted = np.average(sources, axis=0, weights=[u.examples for u in told[:2]])
    np.testing.assert_allclose(strategy.source, wanted, rtol=1e-5)
    target = told[2].arrays["domain-target"].double().numpy()[1:]
    np.testing.assert_allclose(strategy.target, target, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"strategy": {"name": "fedavg"}, "client": {"name": "mmd"}}, "'domain-means'"),
        ({"client": {"name": "supervised"}}, "tells nothing; set client.name to 'coral'"),
        ({"client": {"name": "dann"}, "data": {"unlabelled": []}}, "name the target's in data."),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        Simulation(scenario_with(BASE, TARGET, change))
