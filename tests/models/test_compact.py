"""Compact weights: what is pruned, how far int8 is off, and the best approximation of a rank."""

import numpy as np
import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.models.compact import compacted, expanded, pruned
from fedlab.models.quantisation import rounded

GENERATOR = torch.Generator().manual_seed(2)
STATE = {
    "conv.weight": torch.randn(8, 3, 3, 3, generator=GENERATOR),
    "conv.bias": torch.randn(8, generator=GENERATOR),
    "norm.running_var": torch.rand(8, generator=GENERATOR),
    "norm.num_batches_tracked": torch.tensor(3),
    "head.weight": torch.randn(10, 40, generator=GENERATOR) / 10,
    "head.bias": torch.randn(10, generator=GENERATOR),
}
MATRICES = ("conv.weight", "head.weight")


def nbytes(state: dict[str, torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in state.values())


def test_the_smallest_of_all_matrices_weights_are_pruned_and_nothing_else() -> None:
    new = pruned(STATE, 0.7)
    sizes = np.concatenate([STATE[name].abs().numpy().ravel() for name in MATRICES])
    threshold = np.sort(sizes)[round(0.7 * len(sizes))]
    for name in MATRICES:
        expected = np.where(np.abs(STATE[name]) < threshold, 0, STATE[name])
        np.testing.assert_array_equal(new[name], expected)
    for name in STATE.keys() - set(MATRICES):
        assert torch.equal(new[name], STATE[name])


def test_equal_weights_are_pruned_to_the_number() -> None:
    assert int((pruned({"w": torch.ones(4, 5)}, 0.5)["w"] == 0).sum()) == 10


def test_a_compact_state_of_pruned_weights_is_the_same_to_the_bit_and_smaller() -> None:
    sparse = pruned(STATE, 0.8)
    compact = compacted(sparse)
    again = expanded(compact)
    assert again.keys() == STATE.keys()
    for name, tensor in sparse.items():
        assert torch.equal(again[name], tensor)
    assert nbytes(compact) < 0.5 * nbytes(STATE)


def test_int8_is_off_by_half_a_step_of_each_row_and_keeps_zeros() -> None:
    sparse = pruned(STATE, 0.5)
    again = expanded(compacted(sparse, bits=8))
    for name in MATRICES:
        rows = sparse[name].reshape(len(sparse[name]), -1)
        step = rows.abs().amax(1, keepdim=True) / 127
        off = (again[name].reshape(rows.shape) - rows).abs()
        assert (off <= 0.501 * step).all()
        assert (again[name][sparse[name] == 0] == 0).all()
    assert torch.equal(again["norm.num_batches_tracked"], torch.tensor(3))


def test_int8_takes_a_byte_a_number_and_four_a_row() -> None:
    compact = compacted({"w": torch.randn(6, 50, generator=GENERATOR)}, bits=8)
    assert {name: tensor.nbytes for name, tensor in compact.items()} == {
        "w:scale": 24,
        "w:int8": 300,
        "w:shape": 16,
    }


def test_a_rank_is_that_of_the_best_approximation() -> None:
    again = expanded(compacted(STATE, rank=0.3))
    matrix = STATE["head.weight"].numpy()
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    np.testing.assert_allclose(again["head.weight"], (u[:, :3] * s[:3]) @ v[:3], atol=1e-5)
    assert again["conv.weight"].shape == STATE["conv.weight"].shape


def test_rows_of_zeros_stay_zeros() -> None:
    assert not expanded(compacted({"w": torch.zeros(3, 4)}, bits=8))["w"].any()


def test_any_other_state_is_returned_as_it_is() -> None:
    assert expanded(STATE) == STATE


@pytest.mark.parametrize("gone", ["head.weight:scale", "head.weight:int8"])
def test_a_part_that_is_missing_or_cut_off_is_one_sentence(gone: str) -> None:
    compact = compacted(STATE, bits=8)
    compact[gone] = compact[gone][:-1]
    with pytest.raises(FedlabError, match=r"parts of the compact tensor 'head\.weight'"):
        expanded(compact)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("fraction", [0.0, 0.8])
def test_numbers_of_few_bits_are_the_nearest_levels_and_take_so_many_bits(
    bits: int, fraction: float
) -> None:
    state = pruned({"w": torch.randn(9, 31, generator=GENERATOR)}, fraction)
    compact = compacted(state, bits=bits)
    most = 2 ** (bits - 1) - 1
    step = state["w"].abs().amax(1, keepdim=True) / most
    wanted = (state["w"] / step).round() * step
    torch.testing.assert_close(expanded(compact)["w"], wanted)
    size = compact["w:packed"].nbytes + ("w:mask" in compact and compact["w:mask"].nbytes)
    assert size <= 9 * 31 * bits / 8 + 1


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_training_rounds_weights_as_they_are_stored(bits: int) -> None:
    weight = torch.randn(5, 3, 2, 2, generator=GENERATOR)
    stored = expanded(compacted({"w": weight}, bits=bits))["w"]
    assert torch.equal(rounded(weight, bits), stored)
