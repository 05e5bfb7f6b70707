"""Collusion: who hears what, and what the strategy is given in the end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from clients.attacks.ipm import Ipm, IpmSettings
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategy
from fedlab.attacks.adversary import Adversary
from fedlab.attacks.colluding import ColludingClients
from fedlab.wire import flower_internals

SENT = np.array([1.0, 1.0], np.float32)
MOVES = np.array([[1.0, 0.0], [5.0, 5.0], [3.0, 2.0], [-5.0, 0.0]])
COUNTS = [10, 20, 30, 40]


class Individuals(VectorStrategy):
    """Notes what it is given."""

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        self.seen = list(replies)
        return weights


class OneMean(Individuals):
    """Notes the mean that it is given."""

    traits = Traits(takes_mean=True)


def besieged(strategy: type[Individuals], **when: int) -> ColludingClients:
    attack = Ipm(IpmSettings(name="ipm", clients=(1, 3), epsilon=0.5, **when))  # type: ignore[arg-type]
    around = ColludingClients(
        strategy.from_settings(strategy.Settings()), Adversary(attack, (1, 3)), 0
    )
    around._sent = SENT.astype(np.float64)
    around.strategy._sent = SENT  # type: ignore[attr-defined]
    return around


def reply(client: int) -> Message:
    flower_internals.assume_identity()
    asked = Message(RecordDict(), client + 2, "train")
    vector = (SENT + MOVES[client]).astype(np.float32)
    content = RecordDict(
        {
            "metrics": MetricRecord({"num-examples": COUNTS[client], "train_loss": float(client)}),
            "arrays": ArrayRecord({"weights": Array(vector)}),
        }
    )
    answer = Message(content, reply_to=asked)
    flower_internals.set_source(answer, client + 2)
    return answer


def given(around: ColludingClients, clients: Sequence[int], server_round: int = 1) -> Any:
    around.aggregate_train(server_round, [reply(client) for client in clients])
    return around.strategy.seen  # type: ignore[attr-defined]


# The benign ones are 0 and 2: −0.5 times their mean, which is (2, 1).
AGREED = SENT + np.array([-1.0, -0.5])


def test_only_malicious_replies_are_exchanged() -> None:
    seen = given(besieged(Individuals), [0, 1, 2, 3])
    expected = [SENT + MOVES[0], AGREED, SENT + MOVES[2], AGREED]
    np.testing.assert_allclose([r.weights for r in seen], expected)
    assert [r.weight for r in seen] == COUNTS
    assert [r.metrics["train_loss"] for r in seen] == [0, 1, 2, 3]


def test_a_strategy_that_takes_a_mean_gets_that_of_what_was_sent() -> None:
    (seen,) = given(besieged(OneMean), [0, 1, 2, 3])
    mean = (10 * (SENT + MOVES[0]) + 30 * (SENT + MOVES[2]) + 60 * AGREED) / 100
    np.testing.assert_allclose(seen.weights, mean, rtol=1e-6)
    assert seen.weight == 100
    assert seen.metrics["train_loss"] == pytest.approx((0 + 20 + 60 + 120) / 100)


@pytest.mark.parametrize("clients", [[0, 2], [1, 3]])
def test_a_round_without_attackers_or_victims_stays_as_it_is(clients: list[int]) -> None:
    seen = given(besieged(Individuals), clients)
    np.testing.assert_allclose([r.weights for r in seen], SENT + MOVES[clients])


def test_nothing_happens_before_the_attack_begins_or_after_it() -> None:
    around = besieged(Individuals, start=2, stop=2)
    assert given(around, [0, 1], 1)[1].weights == pytest.approx(SENT + MOVES[1])
    assert given(around, [0, 1], 2)[1].weights != pytest.approx(SENT + MOVES[1])
    assert given(around, [0, 1], 3)[1].weights == pytest.approx(SENT + MOVES[1])
