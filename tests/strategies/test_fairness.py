"""AFL and FedMGDA+ against their papers' equations, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedlab.algorithm.vector_strategy import Reply
from fedlab.models.layout import Entry, Layout
from strategies.afl import Afl, AflSettings, onto_simplex
from strategies.fedmgda import FedMgda, FedMgdaSettings, least_norm

LAYOUT = Layout((Entry("w", (3,), 0),), 3, slice(0, 3), slice(0, 3))
SENT = np.array([1.0, -1.0, 0.5], np.float32)


def reply(client: int, weights: list[float], weight: float = 1.0, loss: float = 0.0) -> Reply:
    vector = np.array(weights, np.float32)
    return Reply(client, weight, vector, {}, {"received_loss": loss})


def built(strategy: Any) -> Any:
    strategy.layout = LAYOUT
    return strategy


def test_afl_moves_the_mixture_along_the_losses() -> None:
    afl = built(Afl(AflSettings(mixture_rate=0.2)))
    afl.mixture = {"2": 0.5, "3": 0.3, "4": 0.2}
    replies = [
        reply(2, [1, 0, 0], 9, 0.5),
        reply(3, [0, 1, 0], 1, 2.0),
        reply(4, [0, 0, 1], 5, 1.0),
    ]
    np.testing.assert_allclose(afl.step(1, SENT, replies), [0.5, 0.3, 0.2], rtol=1e-6)
    # λ + 0.2 · losses = (0.6, 0.7, 0.4), 0.7 too much in sum: all three lose 0.7 / 3.
    expected = np.array([0.6, 0.7, 0.4]) - 0.7 / 3
    np.testing.assert_allclose(list(afl.mixture.values()), expected, rtol=1e-6)


def test_afl_of_a_cohort_scales_its_losses_and_its_shares() -> None:
    afl = built(Afl(AflSettings(mixture_rate=0.1)))
    afl.mixture = {"2": 0.25, "3": 0.25, "4": 0.25, "5": 0.25}
    replies = [reply(2, [2, 0, 0], 1, 1.0), reply(5, [0, 4, 0], 1, 3.0)]
    np.testing.assert_allclose(afl.step(1, SENT, replies), [1, 2, 0])
    # (p/m) = 2: λ₂ gains 0.2 and λ₅ 0.6; the others, at 0.25, fall to 0.05 with the excess 0.8/4.
    np.testing.assert_allclose(list(afl.mixture.values()), [0.25, 0.05, 0.05, 0.65], atol=1e-12)


@pytest.mark.parametrize(
    ("point", "projection"),
    [([0.2, 0.8], [0.2, 0.8]), ([2.0, 0.0], [1, 0]), ([0.5, 0.9, -1], [0.3, 0.7, 0])],
)
def test_the_projection_onto_the_simplex(point: list[float], projection: list[float]) -> None:
    np.testing.assert_allclose(onto_simplex(np.array(point)), projection, atol=1e-12)


def test_fedmgda_goes_along_the_least_norm_of_normalised_updates() -> None:
    strategy = built(FedMgda(FedMgdaSettings(eta=0.5, decay=0.1, epsilon=1.0)))
    # w − wᵢ are (3, 0) and (0, 4): normalised (1, 0) and (0, 1), whose least norm is at ½, ½.
    replies = [reply(2, [-2, -1, 0.5], weight=3), reply(3, [1, -5, 0.5], weight=1)]
    new = strategy.step(1, SENT, replies)
    np.testing.assert_allclose(strategy.mixture, [0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(new, [1 - 0.25, -1 - 0.25, 0.5], atol=1e-6)
    second = strategy.step(2, SENT, replies)
    np.testing.assert_allclose(second, [1 - 0.025, -1 - 0.025, 0.5], atol=1e-6)


def test_fedmgda_gives_who_did_not_move_no_share() -> None:
    strategy = built(FedMgda(FedMgdaSettings(eta=0.5, epsilon=1.0)))
    replies = [reply(2, [-2, -1, 0.5]), reply(3, SENT.tolist()), reply(4, [1, -5, 0.5])]
    new = strategy.step(1, SENT, replies)
    np.testing.assert_allclose(strategy.mixture, [0.5, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(new, [1 - 0.25, -1 - 0.25, 0.5], atol=1e-6)
    np.testing.assert_array_equal(strategy.step(2, SENT, [reply(2, SENT.tolist())]), SENT)


def test_fedmgda_without_room_is_fedavg_of_normalised_updates() -> None:
    strategy = built(FedMgda(FedMgdaSettings(eta=1.0, epsilon=0.0)))
    replies = [reply(2, [-2, -1, 0.5], weight=3), reply(3, [1, -5, 0.5], weight=1)]
    np.testing.assert_allclose(strategy.step(1, SENT, replies), [1 - 0.75, -1 - 0.25, 0.5])


def test_the_least_norm_keeps_within_epsilon_and_is_least_there() -> None:
    vectors = np.random.default_rng(3).normal(size=(3, 5))
    gram, center = vectors @ vectors.T, np.array([0.6, 0.3, 0.1])
    found = least_norm(gram, center, 0.2)
    assert found.sum() == pytest.approx(1)
    assert (np.abs(found - center) <= 0.2 + 1e-9).all()
    steps = np.linspace(0, 1, 201)
    grid = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1])
    inside = grid[(np.abs(grid - center) <= 0.2).all(axis=1)]
    best = min(point @ gram @ point for point in inside)
    assert found @ gram @ found <= best + 1e-9
