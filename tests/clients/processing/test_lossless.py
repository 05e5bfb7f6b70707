"""The lossless stage: all that travels arrives to the bit, and takes fewer bytes."""

from typing import Any

import numpy as np
import pytest
import torch

from fedlab.algorithm.update_chain import UpdateChain
from fedlab.training.task import Assignment, Update
from fedlab.wire.packing import packed, unpacked
from tests.clients.processing.codec import processor, small_layout

LAYOUT = small_layout()


def encoded(*processors: Any) -> tuple[UpdateChain, Any, Assignment]:
    chain = UpdateChain(processors, LAYOUT, False, 1)
    draw = torch.Generator().manual_seed(8)
    update = Update(torch.randn(LAYOUT.wire_size, generator=draw) / 100, 1, {})
    asked = Assignment(0, 1, torch.zeros(LAYOUT.wire_size))
    return chain, chain.encode(update, asked), asked


@pytest.mark.parametrize("codec", ["zlib", "zstandard"])
@pytest.mark.parametrize("before", [(), ("top-k",), ("qsgd",), ("top-k", "qsgd"), ("powersgd",)])
def test_what_it_follows_arrives_to_the_bit(codec: str, before: tuple[str, ...]) -> None:
    if codec == "zstandard":
        pytest.importorskip("zstandard")
    first = [processor(name) for name in before]
    chain, plain, asked = encoded(*first)
    own, pressed, _ = encoded(*first, processor("lossless", codec=codec))
    assert torch.equal(chain.decode(plain, asked), own.decode(pressed, asked))
    assert set(pressed.others) == {"update.statistics"}


def test_what_repeats_takes_fewer_bytes() -> None:
    own = processor("lossless", codec="zlib")
    zeros = packed(torch.zeros(10_000), {"places": torch.arange(500, dtype=torch.int32)})
    payload = own.encode(zeros, Any, torch.Generator())  # type: ignore[arg-type]
    assert payload.values.nbytes < 1000 < zeros.nbytes


def test_numbers_of_every_type_are_packed_and_unpacked() -> None:
    values = torch.tensor([1.5, float("inf"), -0.0])
    others = {
        "a": torch.tensor([2**40, -1]),
        "b": torch.tensor([7, 9], dtype=torch.uint8),
        "none": torch.zeros(0, dtype=torch.float16),
        "c": torch.arange(5, dtype=torch.int16),
    }
    first, rest = unpacked(packed(values, others))
    np.testing.assert_array_equal(first.numpy().view(np.int32), values.numpy().view(np.int32))
    assert set(rest) == set(others)
    for name, tensor in others.items():
        assert rest[name].dtype == tensor.dtype
        assert torch.equal(rest[name], tensor)
