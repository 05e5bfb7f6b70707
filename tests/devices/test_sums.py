"""A sum taken on the device has the bits of the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlab.copying import has_double_precision, to_device, to_host
from fedlab.errors import FedlabError
from fedlab.wire.checks import BadReply, check_vectors
from fedlab.wire.device_sums import SumOnDevice
from fedlab.wire.sums import Name, WeightedSum

pytestmark = pytest.mark.usefixtures("strict")
WEIGHTS: Name = ("arrays", "weights")
COUNTS: Name = ("counts", "weights")


def sums(weights: list[float]) -> tuple[WeightedSum, WeightedSum]:
    """Return the sum of a few clients taken on the device, and that taken on the CPU."""
    on_device, on_cpu = SumOnDevice(), WeightedSum()
    draw = torch.Generator().manual_seed(0)
    for weight in weights:
        values = torch.randn(1003, generator=draw), torch.randint(0, 99, (7,), generator=draw)
        arrays = dict(zip((WEIGHTS, COUNTS), values, strict=True))
        numbers = {("metrics", "loss"): weight / 3}
        on_device.add(weight, {n: v.to("strict") for n, v in arrays.items()}, numbers)
        on_cpu.add(weight, {n: v.numpy() for n, v in arrays.items()}, numbers)
    return on_device.collected(), on_cpu


@pytest.mark.parametrize("weights", [[5], [5, 9, 3], [0.1, 0.7, 1e-3, 7]])
def test_the_bits_are_those_of_the_cpu(weights: list[float]) -> None:
    found, expected = sums(weights)
    assert type(found) is WeightedSum
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array), name
    assert found.mean() == expected.mean()


def test_it_goes_on_as_a_sum_of_the_cpu() -> None:
    (first, expected), (second, other) = sums([5, 9]), sums([3])
    first.merge(second)
    expected.merge(other)
    assert first.mean() == expected.mean()


def test_what_was_added_is_left_as_it_was() -> None:
    own = torch.ones(4, device="strict")
    total = SumOnDevice()
    for _ in range(3):
        total.add(2.0, {WEIGHTS: own}, {})
    assert own.cpu().tolist() == [1, 1, 1, 1]
    assert total.collected().arrays[WEIGHTS].tolist() == [6, 6, 6, 6]


def test_other_arrays_are_refused() -> None:
    total = SumOnDevice()
    total.add(1.0, {WEIGHTS: torch.ones(4, device="strict")}, {})
    with pytest.raises(FedlabError, match=r"a client sent \[arrays/weights"):
        total.add(1.0, {WEIGHTS: torch.ones(5, device="strict")}, {})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_on_the_device(bad: float) -> None:
    weights, more = torch.ones(4, device="strict"), torch.ones(2, device="strict")
    check_vectors({"the weights": weights, "more": more}, "the weights", 4)
    more[1] = bad
    with pytest.raises(BadReply, match="the vector 'more' is not finite"):
        check_vectors({"the weights": weights, "more": more}, "the weights", 4)
    with pytest.raises(BadReply, match="the update holds 3 weights, and this model has 4"):
        check_vectors({"the weights": weights[1:]}, "the weights", 4)
    with pytest.raises(BadReply, match="are no numbers"):
        check_vectors({"the weights": weights.to(torch.complex64)}, "the weights", 4)


def test_copies_keep_what_is_there() -> None:
    strict, cpu = torch.device("privateuseone:0"), torch.device("cpu")
    own = torch.ones(3)
    assert to_host(own) is own
    assert to_device(own, cpu) is own
    there = to_device(own, strict)
    assert there.device == strict
    assert to_device(there, strict) is there
    assert torch.equal(to_host(there), own)
    assert has_double_precision(cpu)
    assert has_double_precision(strict)
    assert not has_double_precision(torch.device("meta"))
