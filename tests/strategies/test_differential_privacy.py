"""Differential privacy's wrappers: clipping, noise, and the norm of Andrew et al. 2021."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.algorithm.strategy import build_strategy
from fedlab.registry import strategies
from fedlab.wire import flower_internals

SIZE = 10_000
NORMS = np.array([0.2, 0.4, 0.8, 1.6, 3.2])
COUNTS = [10, 20, 30, 40, 50]
SIDES = pytest.mark.parametrize("side", ["server", "client"])
SENT = np.linspace(-1, 1, SIZE).astype(np.float32)


class Nodes:
    """As much of a grid as it takes to draw a cohort."""

    def get_node_ids(self) -> range:
        return range(2, 2 + len(NORMS))


def built(kind: str, **keys: Any) -> Any:
    name = f"dp-{kind}-clipping"
    settings = strategies.get(name).Settings(name=name, num_sampled_clients=len(NORMS), **keys)
    return build_strategy(settings)


def reply(client: int, norm: float, was_longer: bool) -> Message:
    """Return an update along an axis of the client's own."""
    weights = SENT.copy()
    weights[client] += norm
    numbers: Any = {"num-examples": COUNTS[client], "norm_bit": int(was_longer)}
    arrays = ArrayRecord({"weights": Array(weights)})
    content = RecordDict({"metrics": MetricRecord(numbers), "arrays": arrays})
    answer = Message(content, reply_to=Message(RecordDict(), client + 2, "train"))
    flower_internals.set_source(answer, client + 2)
    return answer


def after_round(
    strategy: Any, number: int = 1, side: str = "server", norms: Any = NORMS
) -> np.ndarray[Any, Any]:
    """Return the mean update, with noise, of clients whose updates have these norms."""
    flower_internals.assume_identity()
    bound = strategy.clipping_norm
    sent = ArrayRecord({"weights": Array(SENT)})
    list(strategy.configure_train(number, sent, ConfigRecord(), Nodes()))
    given = np.minimum(norms, bound) if side == "client" else norms
    replies = [reply(i, given[i], norms[i] > bound) for i in range(len(norms))]
    new, _ = strategy.aggregate_train(number, replies)
    (array,) = new.values()
    found: np.ndarray[Any, Any] = array.numpy() - SENT
    return found


def mean_clipped(norms: Any, bound: float) -> Any:
    return np.minimum(norms, bound) * COUNTS / sum(COUNTS)


def test_the_server_averages_clipped_updates() -> None:
    new = after_round(built("server-fixed", noise_multiplier=0.0, clipping_norm=0.5))
    np.testing.assert_allclose(new[:5], mean_clipped(NORMS, 0.5), atol=1e-6)
    np.testing.assert_allclose(new[5:], 0, atol=1e-6)


@SIDES
def test_the_noise_is_that_of_one_clients_clipped_update(side: str) -> None:
    strategy = built(f"{side}-fixed", noise_multiplier=1.4, clipping_norm=0.5)
    np.random.seed(0)
    noise = after_round(strategy, side=side)[5:]
    assert noise.mean() == pytest.approx(0, abs=0.005)
    assert noise.std() == pytest.approx(1.4 * 0.5 / 5, rel=0.03)


@pytest.mark.parametrize("kind", ["server-fixed", "server-adaptive"])
def test_a_client_that_did_not_move_counts_like_any_other(kind: str) -> None:
    first = "clipping_norm" if kind == "server-fixed" else "initial_clipping_norm"
    norms = np.array([0.2, 0.0, 0.8, 0.0, 0.4])
    new = after_round(built(kind, noise_multiplier=0.0, **{first: 0.5}), norms=norms)
    np.testing.assert_allclose(new[:5], mean_clipped(norms, 0.5), atol=1e-6)


@SIDES
def test_the_norm_moves_with_the_part_of_updates_left_unclipped(side: str) -> None:
    strategy = built(
        f"{side}-adaptive", noise_multiplier=0.0, initial_clipping_norm=1.0, clip_norm_lr=0.3
    )
    new = after_round(strategy, side=side)
    np.testing.assert_allclose(new[:5], mean_clipped(NORMS, 1.0), atol=1e-6)
    assert strategy.clipping_norm == pytest.approx(np.exp(-0.3 * (3 / 5 - 0.5)))


@SIDES
@pytest.mark.parametrize("start", [0.01, 50.0])
@pytest.mark.parametrize(("quantile", "between"), [(0.5, (0.4, 0.8)), (0.7, (0.8, 1.6))])
def test_the_norm_ends_at_the_quantile(
    side: str, start: float, quantile: float, between: tuple[float, float]
) -> None:
    strategy = built(
        f"{side}-adaptive",
        noise_multiplier=0.0,
        initial_clipping_norm=start,
        target_clipped_quantile=quantile,
        clip_norm_lr=0.5,
    )
    for number in range(1, 41):
        after_round(strategy, number, side)
    low, high = between
    # It goes to and fro by a step around the norm at which the part changes.
    assert low / 1.2 < strategy.clipping_norm < high * 1.2


@SIDES
def test_the_noise_is_that_of_the_norm_updates_were_clipped_to(side: str) -> None:
    strategy = built(
        f"{side}-adaptive",
        noise_multiplier=1.0,
        initial_clipping_norm=0.01,
        clipped_count_stddev=2.0,
        clip_norm_lr=2.0,
    )
    np.random.seed(0)
    noise = after_round(strategy, side=side)[5:]
    # What the noised count tells is paid for: z = (1 − 1/(2 · 2)²)^(−1/2) on the updates.
    assert noise.std() == pytest.approx(0.01 / 5 / np.sqrt(1 - 1 / 16), rel=0.03)
    assert strategy.clipping_norm > 0.013
