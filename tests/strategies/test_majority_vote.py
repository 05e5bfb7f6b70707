"""Majority vote against Algorithm 1 of Bernstein et al. 2018 in NumPy."""

from pathlib import Path

import numpy as np
import pytest

from fedlab.algorithm.vector_strategy import Reply
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from strategies.majority_vote import MajorityVote, MajorityVoteSettings
from tests.shared import scenario_with


def replies(weights: np.ndarray, changes: np.ndarray, shares: list[float]) -> list[Reply]:
    return [
        Reply(number, share, (weights + change).astype(np.float32), {}, {})
        for number, (change, share) in enumerate(zip(changes, shares, strict=True))
    ]


def test_rounds_follow_algorithm_one_and_the_rate_decays() -> None:
    strategy = MajorityVote(MajorityVoteSettings(name="majority-vote", lr=0.1, decay=0.5))
    draws = np.random.default_rng(3)
    weights = draws.normal(size=50).astype(np.float32)
    for number in range(1, 4):
        changes = draws.normal(size=(5, 50))
        new = strategy.step(number, weights, replies(weights, changes, [1.0] * 5))
        expected = weights + 0.1 * 0.5 ** (number - 1) * np.sign(np.sign(changes).sum(0))
        np.testing.assert_allclose(new, expected, rtol=1e-6)
        weights = new.astype(np.float32)
    assert strategy.state_dict()["lr"] == pytest.approx(0.1 / 8)


def test_a_tie_moves_nothing_and_a_large_change_is_one_vote() -> None:
    strategy = MajorityVote(MajorityVoteSettings(name="majority-vote", lr=0.5))
    changes = np.array([[1.0, 1000.0, 0.0], [-2.0, -0.1, 1.0], [0.0, -0.1, 0.0]])
    new = strategy.step(1, np.zeros(3, np.float32), replies(np.zeros(3), changes, [1.0] * 3))
    assert new.tolist() == [0.0, -0.5, 0.5]


def test_votes_may_weigh_by_examples() -> None:
    strategy = MajorityVote(MajorityVoteSettings(name="majority-vote", lr=1.0))
    changes = np.array([[1.0], [-1.0], [-1.0]])
    new = strategy.step(1, np.zeros(1, np.float32), replies(np.zeros(1), changes, [5.0, 1.0, 1.0]))
    assert new.tolist() == [1.0]
    assert strategy.record() == {"agreement": pytest.approx(3 / 7)}


def test_a_step_that_is_long_beside_pretrained_weights_is_told(tmp_path: Path) -> None:
    before = RunFolder.create(tmp_path, "before", scenario_with(rounds=1))
    run(before)
    voting = {"strategy": {"name": "majority-vote"}}
    pretrained = {"model": {"pretrained": str(before.path)}}
    for changes, is_told in (
        ((voting, pretrained), True),
        ((voting, pretrained, {"strategy": {"lr": 0.001}}), False),
        ((voting,), False),
    ):
        with Simulation(scenario_with(*changes)) as simulation:
            told = [note for note in simulation.notes if note.startswith("strategy.lr: ")]
        assert bool(told) == is_told
