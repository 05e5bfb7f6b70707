"""Half-precision updates: the right bits, and half the bytes."""

from typing import Any

import numpy as np
import pytest
import torch

from fedlab import registry
from fedlab.algorithm.processing import Payload, Received

RECEIVED = Received(torch.zeros(3), 1, {}, {}, {})


def both_ways(name: str, update: torch.Tensor) -> tuple[Payload, torch.Tensor]:
    found: Any = registry.updates.get(name)
    processor = found(found.Settings(name=name))
    payload = processor.encode(update, RECEIVED, torch.Generator())
    return payload, processor.decode(Payload(payload.values, payload.along), RECEIVED)


def test_float16_rounds_as_numpy_does_and_takes_half_the_bytes() -> None:
    update = torch.randn(1001, generator=torch.Generator().manual_seed(1)) * 1e-3
    payload, decoded = both_ways("float16", update)
    np.testing.assert_array_equal(decoded, update.numpy().astype(np.float16).astype(np.float32))
    assert payload.values.nbytes == 2002
    assert decoded.dtype == torch.float32


def test_what_is_too_large_for_float16_becomes_its_largest() -> None:
    _, decoded = both_ways("float16", torch.tensor([1e9, -7e4, 2.0]))
    assert decoded.tolist() == [65504.0, -65504.0, 2.0]


def test_bfloat16_keeps_the_range_and_eight_bits() -> None:
    update = torch.tensor([1e30, 1.0, 1.0 + 2**-7, 1.0 + 2**-9, -3e-30])
    payload, decoded = both_ways("bfloat16", update)
    assert decoded.tolist() == pytest.approx([1e30, 1.0, 1.0 + 2**-7, 1.0, -3e-30], rel=2**-8)
    assert decoded[3] == 1.0
    assert payload.values.nbytes == 10
    assert payload.values.numpy().dtype == np.int16
