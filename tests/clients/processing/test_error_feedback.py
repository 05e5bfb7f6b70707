"""Error feedback loses nothing, whichever the codec, and its memory stays bounded."""

import pytest
import torch

from fedlab.training.task import Arrays
from tests.clients.processing.codec import arrived, encoded, processor, small_layout

CODECS = {
    "top-k": {"fraction": 0.1},
    "random-k": {"fraction": 0.3, "error_feedback": True},
    "qsgd": {"levels": 1, "bucket_size": 64, "error_feedback": True},
    "sign": {},
    "terngrad": {"error_feedback": True},
    "powersgd": {"rank": 1},
}
SIZE = small_layout().wire_parameters


@pytest.mark.parametrize("name", CODECS)
def test_what_arrived_and_the_memory_add_up_to_all_updates(name: str) -> None:
    own = processor(name, **CODECS[name])
    updates = torch.randn(30, SIZE, generator=torch.Generator().manual_seed(2))
    kept: Arrays = {}
    arrives = torch.zeros(SIZE)
    for number, update in enumerate(updates):
        payload = encoded(own, update, kept, seed=number)
        arrives += arrived(own, payload)
        kept = payload.kept
    torch.testing.assert_close(arrives + kept["error"], updates.sum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CODECS)
def test_the_memory_of_a_constant_update_stays_bounded(name: str) -> None:
    own = processor(name, **CODECS[name])
    update = torch.randn(SIZE, generator=torch.Generator().manual_seed(3))
    kept: Arrays = {}
    lengths = []
    for number in range(200):
        payload = encoded(own, update, kept, seed=number)
        kept = payload.kept
        lengths.append(float(kept["error"].norm()))
    assert max(lengths[150:]) < 1.2 * max(lengths[50:150])
    assert lengths[-1] < 60 * update.norm()


@pytest.mark.parametrize("name", CODECS)
def test_each_codec_leaves_no_more_than_it_was_given(name: str) -> None:
    own = processor(name, **CODECS[name])
    for seed in range(20):
        update = torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))
        assert encoded(own, update, seed=seed).kept["error"].norm() < update.norm()


@pytest.mark.parametrize("name", CODECS)
def test_without_error_feedback_nothing_is_remembered(name: str) -> None:
    own = processor(name, **CODECS[name] | {"error_feedback": False})
    update = torch.randn(SIZE, generator=torch.Generator().manual_seed(3))
    assert "error" not in encoded(own, update).kept
    assert not arrived(own, encoded(own, torch.zeros(SIZE))).any()
