"""TernGrad: equations 1 to 3 and 16 for each tensor, its variance, and five digits a byte."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clients.processing.terngrad import _bytes, _digits
from tests.clients.processing.codec import arrived, encoded, processor, small_layout, tensors

LAYOUT = small_layout()
SIZE = LAYOUT.wire_parameters
UPDATE = torch.randn(SIZE, generator=torch.Generator().manual_seed(5))


def test_each_tensor_has_three_values_and_a_scale_of_its_own() -> None:
    own = processor("terngrad", LAYOUT, clip=0)
    payload = encoded(own, UPDATE)
    came, sent = tensors(LAYOUT, arrived(own, payload)), tensors(LAYOUT, UPDATE)
    for name in sent:
        scale = sent[name].abs().max()
        assert {round(float(v / scale), 5) for v in came[name].flatten()} <= {-1.0, 0.0, 1.0}
        assert (came[name] * sent[name] >= 0).all()
    assert payload.along["scales"].nbytes == 4 * len(sent)
    assert payload.values.nbytes == -(-SIZE // 5)


def test_it_is_unbiased_with_the_variance_of_its_bits() -> None:
    own = processor("terngrad", LAYOUT, clip=0)
    drawn = torch.stack([arrived(own, encoded(own, UPDATE, seed=s)) for s in range(1500)])
    assert (drawn.mean(0) - UPDATE).abs().max() < 5 * drawn.std(0).max() / 1500**0.5
    expected = 0.0
    for sent in tensors(LAYOUT, UPDATE).values():
        expected += float((sent.abs() * (sent.abs().max() - sent.abs())).sum())
    variance = float((drawn - UPDATE).square().sum(1).mean())
    assert variance == pytest.approx(expected, rel=0.05)


def test_outliers_are_cut_off_at_c_standard_deviations() -> None:
    update = UPDATE.clone()
    weight = next(e for e in LAYOUT.entries if e.name == "3.weight")
    update[weight.start] = 100.0
    sigma = update[weight.start : weight.stop].std(correction=0)
    own = processor("terngrad", LAYOUT)
    scales = encoded(own, update).along["scales"]
    position = [e.name for e in LAYOUT.entries].index("3.weight")
    torch.testing.assert_close(scales[position], 2.5 * sigma)


@given(st.lists(st.integers(-1, 1), max_size=23))
def test_five_digits_a_byte_are_undone(digits: list[int]) -> None:
    values = _bytes(torch.tensor(digits, dtype=torch.float32))
    assert values.nbytes == -(-len(digits) // 5)
    assert _digits(values, len(digits)).tolist() == digits
