"""Top-k against Algorithm 1 of Stich et al. 2018 in NumPy, round after round."""

import numpy as np
import pytest
import torch

from clients.processing.top_k import TopK, TopKSettings
from fedlab.algorithm.processing import Payload, Received
from fedlab.training.task import Arrays


def received(size: int, kept: Arrays) -> Received:
    return Received(torch.zeros(size), 1, {}, {}, kept)


@pytest.mark.parametrize("error_feedback", [True, False])
def test_rounds_follow_algorithm_one(error_feedback: bool) -> None:
    generator = np.random.default_rng(5)
    settings = TopKSettings(name="top-k", fraction=0.1, error_feedback=error_feedback)
    processor, kept, memory = TopK(settings), {}, np.zeros(95, np.float32)
    for _ in range(4):
        update = generator.normal(size=95).astype(np.float32)
        wanted = memory + update if error_feedback else update
        chosen = np.argsort(-np.abs(wanted))[:10]
        sent = np.zeros(95, np.float32)
        sent[chosen] = wanted[chosen]
        memory = wanted - sent
        payload = processor.encode(torch.from_numpy(update), received(95, kept), torch.Generator())
        came = processor.decode(Payload(payload.values, payload.along), received(95, {}))
        np.testing.assert_array_equal(came, sent)
        assert payload.values.nbytes + payload.along["indices"].nbytes == 80
        kept = payload.kept
        assert set(kept) == ({"error"} if error_feedback else set())
        if error_feedback:
            np.testing.assert_array_equal(kept["error"], memory)


def test_nothing_is_lost_with_error_feedback() -> None:
    processor = TopK(TopKSettings(name="top-k", fraction=0.25))
    updates = torch.randn(40, 16, generator=torch.Generator().manual_seed(2))
    kept: Arrays = {}
    arrived = torch.zeros(16)
    for update in updates:
        payload = processor.encode(update, received(16, kept), torch.Generator())
        arrived += processor.decode(payload, received(16, {}))
        kept = payload.kept
    torch.testing.assert_close(arrived + kept["error"], updates.sum(0), rtol=1e-4, atol=1e-5)


def test_at_least_one_number_travels() -> None:
    payload = TopK(TopKSettings(name="top-k", fraction=0.001)).encode(
        torch.tensor([0.0, -2.0, 1.0]), received(3, {}), torch.Generator()
    )
    assert payload.values.tolist() == [-2.0]
    assert payload.along["indices"].tolist() == [1]
