"""Robust aggregators against their papers' equations, worked in NumPy here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from fedlab.algorithm.strategy import build_strategy
from fedlab.algorithm.vector_strategy import Reply, VectorStrategy
from fedlab.registry import strategies
from fedlab.wire import flower_internals
from strategies.bucketing import BucketingSettings
from strategies.centred_clipping import CentredClipping, CentredClippingSettings
from strategies.dnc import Dnc, DncSettings
from strategies.fltrust import FlTrust, FlTrustSettings
from strategies.norm_bounding import NormBounding, NormBoundingSettings
from strategies.rfa import Rfa, RfaSettings

SENT = np.array([1.0, -2.0, 0.5], np.float32)
MOVES = np.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.1], [-0.2, 0.1, 0.0]])
COUNTS = [10.0, 30.0, 20.0, 40.0]


def replies(moves: Any = MOVES, counts: Sequence[float] = COUNTS) -> list[Reply]:
    return [
        Reply(number + 2, count, SENT + np.asarray(move, np.float32), {}, {})
        for number, (move, count) in enumerate(zip(moves, counts, strict=True))
    ]


def weiszfeld(start: Any, steps: int, smoothing: float) -> Any:
    alphas, point = [0.1, 0.3, 0.2, 0.4], start
    for _ in range(steps):
        betas = [
            a / max(smoothing, float(np.sqrt(((m - point) ** 2).sum())))
            for a, m in zip(alphas, MOVES, strict=True)
        ]
        point = sum(b * m for b, m in zip(betas, MOVES, strict=True)) / sum(betas)
    return point


def test_rfa_takes_smoothed_weiszfeld_steps_from_the_better_start() -> None:
    strategy = Rfa.from_settings(RfaSettings(name="rfa", iterations=2, smoothing=0.5))
    # The median of the coordinates is (0, 0.05, 0), near two of four clients; the mean is far off.
    moved = weiszfeld(np.median(MOVES, axis=0), 2, 0.5)
    np.testing.assert_allclose(strategy.step(1, SENT, replies()), SENT + moved, rtol=1e-6)


def test_rfa_is_not_frozen_by_a_client_that_returns_what_it_got() -> None:
    strategy = Rfa.from_settings(RfaSettings(name="rfa"))
    common = np.full(40, 0.3)
    moves = common + np.random.default_rng(1).normal(0, 0.5, (10, 40))
    moves[3] = 0
    sent = np.zeros(40, np.float32)
    answers = [Reply(i, 1.0, m.astype(np.float32), {}, {}) for i, m in enumerate(moves)]
    step = strategy.step(1, sent, answers)
    others = np.delete(moves, 3, axis=0).mean(axis=0)
    assert step @ others > 0.7 * others @ others


@pytest.mark.parametrize("factor", [10.0, 1e6, 1e30])
def test_rfa_is_not_dragged_by_an_outlier(factor: float) -> None:
    strategy = Rfa.from_settings(RfaSettings(name="rfa"))
    moves = 0.3 + np.random.default_rng(2).normal(0, 0.5, (9, 40))
    moves[3] *= -factor
    sent = np.zeros(40, np.float32)
    answers = [Reply(i, 1.0, m.astype(np.float32), {}, {}) for i, m in enumerate(moves)]
    step = strategy.step(1, sent, answers)
    honest = np.delete(moves, 3, axis=0).mean(axis=0)
    assert np.linalg.norm(step - honest) < 0.5 * np.linalg.norm(honest)


def test_rfa_reaches_the_geometric_median() -> None:
    strategy = Rfa.from_settings(RfaSettings(name="rfa", iterations=1000))
    moves = [[0.0, 0, 0], [1, 0, 0], [0.3, 0.4, 0], [1e4, 1e4, 1e4], [0.2, 0.1, 0]]
    median = strategy.step(1, SENT, replies(moves, [1.0] * 5)) - SENT
    gaps = np.asarray(moves) - median
    # At the minimum the unit vectors to the points cancel.
    pull = (gaps / np.linalg.norm(gaps, axis=1, keepdims=True)).sum(axis=0)
    assert np.linalg.norm(pull) < 1e-3


def test_centred_clipping_clips_around_the_last_step() -> None:
    settings = CentredClippingSettings(name="centred-clipping", radius=2.0, iterations=2)
    strategy = CentredClipping.from_settings(settings)
    centre = np.zeros(3)
    for server_round in (1, 2):
        for _ in range(2):
            centre = centre + sum(
                (move - centre) * min(1, 2.0 / np.sqrt(((move - centre) ** 2).sum())) / 4
                for move in MOVES
            )
        counted_alike = replies(counts=[1.0] * 4)
        new = strategy.step(server_round, SENT, counted_alike)
        np.testing.assert_allclose(new, SENT + centre, rtol=1e-6)
    assert set(strategy.state_dict()) == {"centre"}


def test_norm_bounding_cuts_long_updates_and_weighs_by_examples() -> None:
    strategy = NormBounding.from_settings(NormBoundingSettings(name="norm-bounding", bound=2.0))
    cut = [MOVES[0] * 2 / 3, MOVES[1] * 2 / 4, MOVES[2], MOVES[3]]
    mean = 0.1 * cut[0] + 0.3 * cut[1] + 0.2 * cut[2] + 0.4 * cut[3]
    np.testing.assert_allclose(strategy.step(1, SENT, replies()), SENT + mean, rtol=1e-6)


def test_norm_bounding_adds_noise_of_the_wanted_size() -> None:
    strategy = NormBounding.from_settings(
        NormBoundingSettings(name="norm-bounding", bound=1.0, noise=0.5)
    )
    np.random.seed(0)
    still = [Reply(2, 1.0, np.zeros(20_000, np.float32), {}, {})]
    new = strategy.step(1, np.zeros(20_000, np.float32), still)
    assert new.std() == pytest.approx(0.5, rel=0.03)


def test_fltrust_trusts_what_points_the_servers_way() -> None:
    strategy = FlTrust.from_settings(FlTrustSettings(name="fltrust", rate=0.5))
    root = np.array([0.0, 2.0, 0.0])
    strategy.train_on_root = lambda server_round, weights: weights + root
    moves = [[0.0, 8.0, 6.0], [0, -5, 0], [3, 4, 0], [0, 0, 0]]
    # cos 0.8, −1 (no trust), 0.8, none; each scaled to length 2.
    mean = (0.8 * np.array([0, 1.6, 1.2]) + 0.8 * np.array([1.2, 1.6, 0])) / 1.6
    new = strategy.step(1, SENT, replies(moves))
    np.testing.assert_allclose(new, SENT + 0.5 * mean, rtol=1e-6)


def test_fltrust_stays_where_nobody_is_trusted() -> None:
    strategy = FlTrust.from_settings(FlTrustSettings(name="fltrust"))
    strategy.train_on_root = lambda server_round, weights: weights - MOVES.sum(axis=0)
    np.testing.assert_array_equal(strategy.step(1, SENT, replies(np.abs(MOVES) + 1)), SENT)


def test_dnc_drops_the_highest_scores_on_the_main_direction() -> None:
    strategy = Dnc.from_settings(DncSettings(name="dnc", num_malicious_nodes=1, filtering=1.0))
    generator = np.random.default_rng(3)
    moves = generator.normal(0, 0.1, (7, 3))
    moves[4] += [2.0, 1.0, 0.0]
    centred = moves - moves.mean(axis=0)
    direction = np.linalg.svd(centred)[2][0]
    scores = (centred @ direction) ** 2
    assert scores.argmax() == 4
    kept = np.argsort(scores)[:6]
    np.random.seed(0)
    new = strategy.step(1, SENT, replies(moves, [1.0] * 7))
    np.testing.assert_allclose(new, SENT + moves[kept].mean(axis=0), rtol=1e-5)


def test_dnc_keeps_what_every_iteration_keeps() -> None:
    strategy = Dnc.from_settings(
        DncSettings(name="dnc", num_malicious_nodes=1, iterations=3, subsample=1)
    )
    # Seen one coordinate at a time, another client stands out on each.
    moves = np.zeros((8, 3))
    moves[0, 0] = moves[1, 1] = moves[2, 2] = 5.0
    moves[3:] = np.arange(15).reshape(5, 3) / 100
    np.random.seed(1)
    drawn = [int(np.random.choice(3, 1, replace=False)[0]) for _ in range(3)]
    kept = [i for i in range(8) if i not in drawn]
    np.random.seed(1)
    new = strategy.step(1, SENT, replies(moves, [1.0] * 8))
    np.testing.assert_allclose(new, SENT + moves[kept].mean(axis=0), rtol=1e-5)


class Seen(VectorStrategy):
    """Notes what it is given."""

    def step(self, server_round: int, weights: Any, replies: Sequence[Reply]) -> Any:
        self.seen = np.stack([reply.weights for reply in replies])
        return weights


def message(client: int, vector: Any, examples: int) -> Message:
    flower_internals.assume_identity()
    asked = Message(RecordDict(), client, "train")
    content = RecordDict(
        {
            "metrics": MetricRecord(
                {"num-examples": examples, "weight": 1.0, "loss": 1.0 * client}
            ),
            "arrays": ArrayRecord({"weights": Array(np.asarray(vector, np.float32))}),
        }
    )
    reply = Message(content, reply_to=asked)
    flower_internals.set_source(reply, client)
    return reply


def test_bucketing_hands_on_the_means_of_random_buckets() -> None:
    inner = {"name": f"{__name__}:Seen"}
    settings = BucketingSettings(
        name="bucketing", bucket_size=2, inner=Seen.Settings.model_validate(inner)
    )
    strategy: Any = build_strategy(settings)
    vectors = np.array([[1.0, 0], [2, 0], [4, 0], [8, 0], [0, 16]])
    sent = [message(c + 2, v, 10 * (c + 1)) for c, v in enumerate(vectors)]
    np.random.seed(5)
    order = np.random.permutation(5)
    np.random.seed(5)
    _, metrics = strategy.aggregate_train(1, sent)
    pairs = [vectors[order[:2]].mean(0), vectors[order[2:4]].mean(0), vectors[order[4]]]
    np.testing.assert_allclose(strategy.strategy.seen, pairs)
    assert metrics["loss"] == pytest.approx(np.mean([2, 3, 4, 5, 6]))
    assert [reply.content["metrics"]["num-examples"] for reply in sent] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("inner", ["krum", "multikrum", "fedmedian", "fedtrimmedavg", "rfa"])
def test_bucketing_wraps_any_robust_aggregator(inner: str) -> None:
    strategy: Any = build_strategy(
        BucketingSettings(
            name="bucketing", bucket_size=1, inner=strategies.get(inner).Settings(name=inner)
        )
    )
    vectors = np.array([[1.0, 0], [2, 0], [4, 0], [8, 0], [0, 16]])
    sent = [message(c + 2, v, 10) for c, v in enumerate(vectors)]
    if isinstance(strategy.strategy, VectorStrategy):
        strategy.strategy._sent = np.zeros(2, np.float32)
    new, _ = strategy.aggregate_train(1, sent)
    alone: Any = strategy.strategy.aggregate_train(1, sent)[0]
    np.testing.assert_allclose(
        next(iter(new.values())).numpy(), next(iter(alone.values())).numpy(), rtol=1e-6
    )
