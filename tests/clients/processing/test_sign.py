"""Signs: one bit a number, one scale; Algorithm 1 of Karimireddy et al. in NumPy."""

import numpy as np
import torch

from fedlab.training.task import Arrays
from tests.clients.processing.codec import arrived, encoded, processor


def test_rounds_follow_algorithm_one_of_ef_signsgd() -> None:
    own = processor("sign")
    draws = np.random.default_rng(0)
    error, kept = np.zeros(101, np.float32), Arrays()
    for _ in range(3):
        update = draws.normal(size=101).astype(np.float32)
        wanted = update + error
        sent = np.abs(wanted).mean() * np.where(wanted >= 0, 1, -1)
        error = wanted - sent
        payload = encoded(own, torch.from_numpy(update), kept)
        np.testing.assert_allclose(arrived(own, payload), sent, rtol=1e-5)
        np.testing.assert_allclose(payload.kept["error"], error, rtol=1e-4, atol=1e-6)
        assert payload.values.nbytes == 13
        assert payload.along["scale"].nbytes == 4
        kept = payload.kept
