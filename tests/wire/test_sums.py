from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from fedlab.errors import FedlabError
from fedlab.wire.sums import WeightedSum, contribution

NAME = ("arrays", "weights")
LOSS = ("metrics", "train_loss")


def total(*clients: tuple[int, list[float], float]) -> WeightedSum:
    added = WeightedSum()
    for examples, values, loss in clients:
        added.add(examples, {NAME: np.array(values, dtype=np.float32)}, {LOSS: loss})
    return added


def mean_of(added: WeightedSum) -> np.ndarray:
    array: np.ndarray = added.mean().array_records["arrays"]["weights"].numpy()
    return array


def test_the_mean_is_weighted_by_examples() -> None:
    added = total((1, [1, 2], 0.5), (3, [4, 8], 0.1))
    np.testing.assert_allclose(mean_of(added), [(1 + 12) / 4, (2 + 24) / 4])
    metrics = added.mean().metric_records["metrics"]
    assert metrics["num-examples"] == 4
    assert metrics["train_loss"] == pytest.approx((0.5 + 0.3) / 4)


def test_the_mean_keeps_the_arrays_type() -> None:
    assert mean_of(total((1, [1], 0), (2, [4], 0))).dtype == np.float32


def test_sums_of_sums_are_the_sum_over_all_clients() -> None:
    generator = np.random.default_rng(0)
    clients = [(n, generator.normal(size=3).tolist(), 0.0) for n in (1, 5, 2, 7)]
    halves = total(*clients[:2])
    halves.merge(total(*clients[2:]))
    np.testing.assert_allclose(mean_of(halves), mean_of(total(*clients)), rtol=1e-6)


def test_the_sum_of_one_client_is_its_arrays_bit_for_bit() -> None:
    values = np.random.default_rng(0).normal(size=5).astype(np.float32)
    assert mean_of(total((7, values.tolist(), 0.0))).tobytes() == values.tobytes()


def test_arrays_that_cannot_be_written_to_are_left_as_they_are() -> None:
    added = total((1, [1, 2], 0), (1, [3, 4], 0))
    for array in added.arrays.values():
        array.flags.writeable = False
    shared = added.arrays[NAME]
    whole = WeightedSum()
    whole.merge(added)
    whole.merge(total((2, [5, 6], 0)))
    np.testing.assert_allclose(mean_of(whole), [14 / 4, 18 / 4])
    np.testing.assert_allclose(shared, [4, 6])


def test_a_replys_content_is_added_like_its_arrays() -> None:
    content = RecordDict(
        {
            "arrays": ArrayRecord({"weights": Array(np.array([1, 2], dtype=np.float32))}),
            "metrics": MetricRecord({"num-examples": 3, "train_loss": 0.5}),
        }
    )
    added = WeightedSum()
    added.add(*contribution(content))
    added.add(1, {NAME: np.array([5, 6], dtype=np.float32)}, {LOSS: 0.1})
    np.testing.assert_allclose(mean_of(added), [2, 3])
    assert added.examples == 4


def test_arrays_of_another_shape_are_refused_and_change_nothing() -> None:
    added = total((1, [1, 2], 0.0))
    with pytest.raises(FedlabError, match=r"\(3,\).*\(2,\)"):
        added.add(1, {NAME: np.zeros(3, dtype=np.float32)}, {LOSS: 0.0})
    np.testing.assert_allclose(mean_of(added), [1, 2])


def test_in_pieces_the_bits_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    vectors = [draw.standard_normal(23).astype(np.float32) for _ in range(4)]
    cube = draw.standard_normal((2, 3, 4)).astype(np.float32).T

    def mean() -> tuple[Any, Any]:
        total = WeightedSum()
        for weight, vector in zip((3.0, 5.0, 1.0, 9.0), vectors, strict=True):
            arrays = {("arrays", "w"): vector, ("arrays", "cube"): cube * vector[0]}
            total.add(weight, arrays, {})
        record = total.mean()["arrays"]
        return record["w"].numpy(), record["cube"].numpy()

    whole = mean()
    monkeypatch.setattr("fedlab.wire.sums.PIECE", 5)
    for ours, theirs in zip(mean(), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    by_hand = sum(w * v.astype(np.float64) for w, v in zip((3, 5, 1, 9), vectors, strict=True)) / 18
    np.testing.assert_array_equal(whole[0], by_hand.astype(np.float32))
    assert whole[1].shape == cube.shape
