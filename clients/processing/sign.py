"""Signs: one bit a number."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch

from fedlab.algorithm.error_feedback import ErrorFeedback
from fedlab.algorithm.processing import Payload, Received
from fedlab.registry import updates

SCALE, LENGTH = "scale", "length"


@updates.register("sign")
class Sign(ErrorFeedback):
    """Sign: the signs of an update and one scale (Bernstein et al. 2018; Karimireddy et al. 2019).

    EF-SignSGD's compressor (Karimireddy et al., "Error Feedback Fixes SignSGD and other Gradient
    Compression Schemes", Algorithm 1), of n numbers:

        C(x) = (‖x‖₁ / n) sign(x),    sign(0) = 1

    a contraction with δ = ‖x‖₁² / (n ‖x‖²) (Lemma 8): one bit a number, and 4 bytes. Strategy
    "majority-vote" looks at the signs alone, as signSGD does, which knows no error feedback.
    """

    gives: ClassVar[Literal["update", "values", "codes"]] = "codes"

    def compress(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the signs, eight a byte, and their scale."""
        bits = np.packbits((update >= 0).numpy())
        along = {SCALE: update.abs().mean().view(1), LENGTH: torch.tensor([len(update)])}
        return Payload(torch.from_numpy(bits), along)

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return the scale with each number's sign."""
        bits = np.unpackbits(payload.values.numpy(), count=int(payload.along[LENGTH]))
        return payload.along[SCALE] * (2.0 * torch.from_numpy(bits) - 1.0)
