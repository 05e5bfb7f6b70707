"""Adaptive clipping against Andrew et al. 2021, Algorithm 1."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.engine import flower_internals
from fedlab.registry import strategies
from fedlab.server.strategy import build_strategy

SIZE = 10_000
NORMS = np.array([0.2, 0.4, 0.8, 1.6, 3.2])
SIDES = pytest.mark.parametrize("side", ["server", "client"])


class Nodes:
    """As much of a grid as it takes to draw a cohort."""

    def get_node_ids(self) -> range:
        return range(2, 2 + len(NORMS))


def built(side: str, **keys: Any) -> Any:
    name = f"dp-{side}-adaptive-clipping"
    settings = strategies.get(name).Settings(name=name, num_sampled_clients=len(NORMS), **keys)
    return build_strategy(settings)


def reply(client: int, norm: float, was_longer: bool) -> Message:
    """Return an update along an axis of the client's own."""
    change = np.zeros(SIZE, np.float32)
    change[client] = norm
    numbers: Any = {"num-examples": 1, "norm_bit": int(was_longer)}
    arrays = ArrayRecord({"weights": Array(change)})
    content = RecordDict({"metrics": MetricRecord(numbers), "arrays": arrays})
    answer = Message(content, reply_to=Message(RecordDict(), client + 2, "train"))
    flower_internals.set_source(answer, client + 2)
    return answer


def after_round(strategy: Any, number: int, side: str) -> np.ndarray[Any, Any]:
    """Return the mean update, with noise, of a round of clients with these norms."""
    flower_internals.assume_identity()
    bound = strategy.clipping_norm
    sent = ArrayRecord({"weights": Array(np.zeros(SIZE, np.float32))})
    list(strategy.configure_train(number, sent, ConfigRecord(), Nodes()))
    norms = np.minimum(NORMS, bound) if side == "client" else NORMS
    replies = [reply(i, norms[i], NORMS[i] > bound) for i in range(len(norms))]
    new, _ = strategy.aggregate_train(number, replies)
    (array,) = new.values()
    found: np.ndarray[Any, Any] = array.numpy()
    return found


@SIDES
def test_the_norm_moves_with_the_part_of_updates_that_it_does_not_shorten(side: str) -> None:
    strategy = built(side, noise_multiplier=0.0, initial_clipping_norm=1.0, clip_norm_lr=0.3)
    new = after_round(strategy, 1, side)
    np.testing.assert_allclose(new[:5], np.minimum(NORMS, 1.0) / 5, rtol=1e-6)
    assert strategy.clipping_norm == pytest.approx(np.exp(-0.3 * (3 / 5 - 0.5)))


@SIDES
@pytest.mark.parametrize("start", [0.01, 50.0])
@pytest.mark.parametrize(("quantile", "between"), [(0.5, (0.4, 0.8)), (0.7, (0.8, 1.6))])
def test_the_norm_ends_at_the_quantile(
    side: str, start: float, quantile: float, between: tuple[float, float]
) -> None:
    strategy = built(
        side,
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
def test_the_noise_is_that_of_the_norm_that_updates_were_clipped_to(side: str) -> None:
    strategy = built(
        side, noise_multiplier=1.0, initial_clipping_norm=0.01, clipped_count_stddev=2.0,
        clip_norm_lr=2.0,
    )  # fmt: skip
    np.random.seed(0)
    noise = after_round(strategy, 1, side)[5:]
    # What the noised count tells is paid for: z = (1 − 1/(2 · 2)²)^(−1/2) on the updates.
    assert noise.std() == pytest.approx(0.01 / 5 / np.sqrt(1 - 1 / 16), rel=0.03)
    assert strategy.clipping_norm > 0.013
