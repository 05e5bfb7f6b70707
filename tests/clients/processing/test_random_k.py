"""Random-k: its numbers and bytes, its variance, and a mask that all clients of a round share."""

import numpy as np
import pytest
import torch

from fedlab.algorithm.processing import Payload
from tests.clients.processing.codec import arrived, encoded, processor, received, travelled

UPDATE = torch.randn(60, generator=torch.Generator().manual_seed(4))


def test_a_random_part_arrives_as_it_was_and_the_rest_not() -> None:
    own = processor("random-k", fraction=0.25, unbiased=False)
    payload = encoded(own, UPDATE)
    came = arrived(own, payload)
    sent = came != 0
    assert sent.sum() == 15
    assert torch.equal(came[sent], UPDATE[sent])
    assert travelled(payload) == 15 * 4 + 8 + 8


def test_the_scaled_form_is_unbiased_with_the_variance_of_the_paper() -> None:
    own = processor("random-k", fraction=0.25)
    drawn = torch.stack([arrived(own, encoded(own, UPDATE, seed=s)) for s in range(1500)])
    assert (drawn.mean(0) - UPDATE).abs().max() < 5 * drawn.std(0).max() / 1500**0.5
    variance = (drawn - UPDATE).square().sum(1).mean() / UPDATE.square().sum()
    assert variance.item() == pytest.approx(60 / 15 - 1, rel=0.08)


def test_the_contraction_leaves_one_minus_k_over_n() -> None:
    own = processor("random-k", fraction=0.25, error_feedback=True)
    left = [encoded(own, UPDATE, seed=s).kept["error"].square().sum() for s in range(600)]
    assert np.mean(left) / float(UPDATE.square().sum()) == pytest.approx(0.75, rel=0.05)


def test_error_feedback_and_the_scaled_form_are_refused_together() -> None:
    with pytest.raises(ValueError, match="set error_feedback = false, or leave unbiased out"):
        processor("random-k", error_feedback=True, unbiased=True)


def test_the_sum_of_what_is_sent_under_one_mask_is_the_sum_decoded() -> None:
    own = processor("random-k", fraction=0.25, mask="round", unbiased=False)
    assert own.decodes_sums
    assert not processor("random-k").decodes_sums
    seed = int(own.begin_round(1)["seed"])
    payloads = []
    for number, scale in enumerate((1.0, 3.0)):
        draw = torch.Generator().manual_seed(number)
        payloads.append(own.encode(scale * UPDATE, received(60, seed=seed), draw))
    mean = Payload((payloads[0].values + payloads[1].values) / 2, payloads[0].along)
    came = own.decode(mean, received(60, seed=seed))
    assert (came != 0).sum() == 15
    torch.testing.assert_close(came[came != 0], 2 * UPDATE[came != 0])
