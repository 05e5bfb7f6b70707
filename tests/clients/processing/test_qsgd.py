"""QSGD: its levels, that it is unbiased and within the paper's variance, and its bytes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clients.processing.qsgd import Qsgd, QsgdSettings, packed, unpacked, width_of
from fedlab.algorithm.processing import Payload, Received

RECEIVED = Received(torch.zeros(1), 1, {}, {}, {})


def quantised(update: torch.Tensor, seed: int, **keys: int) -> torch.Tensor:
    processor = Qsgd(QsgdSettings(name="qsgd", **keys))
    payload = processor.encode(update, RECEIVED, torch.Generator().manual_seed(seed))
    return processor.decode(Payload(payload.values, payload.along), RECEIVED)


@pytest.mark.parametrize("levels", [1, 7, 127, 1000])
def test_each_number_becomes_a_level_next_to_it(levels: int) -> None:
    update = torch.randn(1000, generator=torch.Generator().manual_seed(4))
    came = quantised(update, 1, levels=levels, bucket_size=300).numpy()
    for start in range(0, 1000, 300):
        own, then = update[start : start + 300].numpy(), came[start : start + 300]
        unit = np.linalg.norm(own) / levels
        below = np.floor(np.abs(own) / unit)
        steps = np.abs(then) / unit
        assert np.all(np.abs(steps - np.round(steps)) < 1e-2)
        assert np.all((np.round(steps) == below) | (np.round(steps) == below + 1))
        assert np.all(np.sign(then) * np.sign(own) >= 0)


def test_it_is_unbiased_and_within_the_papers_variance() -> None:
    update = torch.randn(64, generator=torch.Generator().manual_seed(7))
    drawn = torch.stack([quantised(update, seed, levels=4, bucket_size=64) for seed in range(4000)])
    # Lemma 3.1: E ‖Q(v) − v‖² ≤ min(n/s², √n/s) ‖v‖², n = 64 and s = 4.
    variance = (drawn - update).square().sum(1).mean() / update.square().sum()
    assert variance <= min(64 / 16, 8 / 4)
    tolerance = 5 * drawn.std(0).max() / 4000**0.5
    assert (drawn.mean(0) - update).abs().max() < tolerance


def test_the_same_generator_draws_the_same_levels() -> None:
    update = torch.randn(50, generator=torch.Generator().manual_seed(8))
    assert torch.equal(quantised(update, 3, levels=2), quantised(update, 3, levels=2))
    assert not torch.equal(quantised(update, 3, levels=2), quantised(update, 4, levels=2))


def test_zeros_stay_zeros() -> None:
    assert not quantised(torch.zeros(7), 1).any()


@pytest.mark.parametrize(("levels", "width"), [(1, 2), (7, 4), (127, 8), (128, 16), (32767, 16)])
def test_a_code_takes_no_more_bits_than_it_needs(levels: int, width: int) -> None:
    assert width_of(levels) == width
    payload = Qsgd(QsgdSettings(name="qsgd", levels=levels)).encode(
        torch.ones(1024), RECEIVED, torch.Generator()
    )
    assert payload.values.nbytes == 1024 * width // 8
    assert payload.along["norms"].nbytes == 8


@given(st.sampled_from([2, 4, 8, 16]), st.data())
def test_packing_is_undone(width: int, data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, 2**width - 1), max_size=40))
    found = unpacked(packed(torch.tensor(codes, dtype=torch.int32), width), width, len(codes))
    assert found.tolist() == codes
