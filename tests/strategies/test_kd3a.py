"""KD3A's votes and weights, against its equations written in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clients.kd3a import UNDECIDED, consensus_loss, qualities, vote
from fedlab.algorithm.vector_strategy import Reply
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from strategies.kd3a import Kd3a, Kd3aSettings
from tests.shared import scenario_with

GATE = 0.6
BATCH_NORM = {
    "name": "cnn",
    "layers": [{"channels": 3, "kernel_size": 3, "batch_norm": True, "pooling": "max"}],
}
BASE: dict[str, Any] = {
    "rounds": 3,
    "data": {
        "train_examples": 120,
        "partition": {"name": "iid", "clients": 4},
        "validation": 0.0,
        "unlabelled": [3],
    },
    "model": BATCH_NORM,
    "client": {"name": "kd3a", "batch_size": 8, "optimizer": {"lr": 0.05}},
    "strategy": {"name": "kd3a"},
}


def random_votes(sources: int = 4, examples: int = 300) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return (2 * torch.randn(sources, examples, 3, generator=draw)).softmax(2)


def voted_by_hand(votes: Any, gate: float) -> tuple[Any, float]:
    """Return p and n of one example, given (sources, classes)."""
    confident = [v for v in votes if v.max() >= gate]
    if not confident:
        return votes.mean(0), UNDECIDED
    winner = sum(confident).argmax()
    left = [v for v in confident if v.argmax() == winner]
    return (sum(left) / len(left), len(left)) if left else (votes.mean(0), UNDECIDED)


def quality_by_hand(votes: Any, gate: float) -> float:
    if not len(votes):
        return 0.0
    found = [voted_by_hand(votes[:, i], gate) for i in range(votes.shape[1])]
    return float(sum(n * p.max() for p, n in found))


@pytest.mark.parametrize("gate", [0.0, GATE, 0.95])
def test_votes_are_gated_and_those_for_the_largest_class_averaged(gate: float) -> None:
    votes = random_votes()
    found, supporters = vote(votes, gate)
    wanted = [voted_by_hand(votes[:, i].numpy(), gate) for i in range(votes.shape[1])]
    np.testing.assert_allclose(found, np.stack([p for p, _ in wanted]), rtol=1e-5)
    np.testing.assert_allclose(supporters, [n for _, n in wanted])
    assert gate != GATE or {round(n) for _, n in wanted} >= {0, 1, 2, 3}


@pytest.mark.parametrize("sources", [1, 3])
def test_qualities_are_those_of_all_sources_and_without_each(sources: int) -> None:
    votes = random_votes(sources)
    plain = votes.numpy()
    wanted = [quality_by_hand(plain, GATE)]
    wanted += [quality_by_hand(np.delete(plain, k, 0), GATE) for k in range(sources)]
    np.testing.assert_allclose(qualities(votes, GATE), wanted, rtol=1e-5)


def test_the_loss_is_the_weighted_divergence_from_the_consensus() -> None:
    consensus, supporters = vote(random_votes(), GATE)
    outputs = torch.randn(300, 3, generator=torch.Generator().manual_seed(2))
    found = consensus_loss(outputs, torch.cat([consensus, supporters[:, None]], 1))
    p, q = consensus.double().numpy(), outputs.double().softmax(1).numpy()
    wanted = (supporters.numpy() * (p * np.log(p / q)).sum(1)).mean()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def reply(client: int, weight: float, told: list[float], seed: int) -> Reply:
    weights = np.random.default_rng(seed).normal(size=5).astype(np.float32)
    return Reply(client, weight, weights, {"consensus": np.array(told, np.float32)}, {})


def test_models_count_by_their_consensus_focus() -> None:
    strategy = Kd3a(Kd3aSettings())
    zeros = np.zeros(5, np.float32)
    sizes = (30.0, 10.0, 20.0)
    first = [reply(k, sizes[k], [0, 0], k) for k in range(3)]
    new = strategy.step(1, zeros, [*first, reply(3, 40.0, [1, 0], 9)])
    np.testing.assert_allclose(new, np.average([r.weights for r in first], 0, sizes), rtol=1e-6)
    assert list(strategy.broadcast(2, zeros)) == ["teacher-0", "teacher-1", "teacher-2"]

    # Source 2 is in the way of the others' consensus: Q is larger without it.
    quality = [100.0, 70.0, 80.0, 110.0]
    second = [reply(k, sizes[k], [0] * 5, 10 + k) for k in range(3)]
    target = reply(3, 40.0, [1, *quality], 19)
    new = strategy.step(2, zeros, [*second, target])
    focus = np.array(sizes) * [30, 20, 0]
    alpha = np.append((1 - 0.4) * focus / focus.sum(), 0.4)
    wanted = alpha @ np.stack([r.weights for r in (*second, target)])
    np.testing.assert_allclose(new, wanted, rtol=1e-5)
    np.testing.assert_allclose(strategy.record()["alpha"], alpha)


def test_without_focus_sources_count_by_their_examples() -> None:
    strategy = Kd3a(Kd3aSettings())
    strategy.teachers = {"0": np.zeros(5), "1": np.zeros(5)}
    told = [reply(0, 30.0, [0] * 4, 0), reply(1, 10.0, [0] * 4, 1)]
    strategy.step(2, np.zeros(5), [*told, reply(2, 40.0, [1, 5.0, 5.0, 6.0], 2)])
    np.testing.assert_allclose(strategy.record()["alpha"], [0.375, 0.125, 0.5])


def test_a_target_descends_the_consensus_of_the_models_that_it_got() -> None:
    """Also with batch norm, whose statistics are the teachers' own where they vote."""
    scenario = scenario_with(BASE)
    worker = Worker(scenario, load_federation(scenario))
    wire = worker.network.model.wire().clone()
    sources = [worker.train(Assignment(client, 1, wire)) for client in range(3)]
    teachers = {f"teacher-{k}": update.weights for k, update in enumerate(sources)}
    update = worker.train(Assignment(3, 2, wire, arrays=teachers))
    assert not torch.equal(update.weights, wire)

    task = worker.network
    examples = worker.federation.examples(3)[0]
    votes = []
    for source in sources:
        task.model.reset(source.weights)
        task.model.module.eval()
        with torch.no_grad():
            votes.append(task.model.call(worker.prepare(examples.inputs)).softmax(1))
    gate = 0.9 + 0.5 * 0.05
    wanted = qualities(torch.stack(votes), gate)
    assert update.arrays["consensus"][0] == 1
    torch.testing.assert_close(update.arrays["consensus"][1:], wanted)


def test_in_the_first_round_a_target_returns_what_it_got() -> None:
    scenario = scenario_with(BASE)
    worker = Worker(scenario, load_federation(scenario))
    wire = worker.network.model.wire().clone()
    update = worker.train(Assignment(3, 1, wire))
    assert torch.equal(update.weights, wire)
    assert update.arrays["consensus"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": {"unlabelled": []}}, "name the target's in data.unlabelled"),
        ({"strategy": {"name": "fedavg"}}, "set strategy.name = 'kd3a'"),
        ({"client": {"name": "supervised"}}, "set client.name = 'kd3a'"),
        ({"model": {**BATCH_NORM, "batch_norm": "local"}}, "works on whole models"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        Simulation(scenario_with(BASE, change))
