"""TernGrad: each number becomes −s, 0 or s at random, right on average."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.algorithm.error_feedback import ErrorFeedback, ErrorFeedbackSettings
from fedlab.algorithm.processing import Payload, Received
from fedlab.registry import updates

SCALES = "scales"
DIGITS = 5
"""Ternary digits in a byte: 3⁵ = 243."""


class TernGradSettings(ErrorFeedbackSettings):
    """Keys of a table of ``[[updates]]`` with name = "terngrad"."""

    error_feedback: bool = Field(
        False,
        description="whether what was left out is added to the client's next update; scales are "
        "then those that leave the least error, and numbers not right on average",
    )
    clip: float = Field(
        2.5,
        ge=0,
        description="c: numbers beyond c standard deviations of their tensor are cut off; 0: none",
    )


@updates.register("terngrad")
class TernGrad(ErrorFeedback):
    """TernGrad: −s, 0 or s, unbiased (Wen et al. 2017, NeurIPS).

    "TernGrad: Ternary Gradients to Reduce Communication in Distributed Deep Learning", equations 1
    to 3, for each tensor of an update apart (layer-wise ternarising), with b of independent bits:

        s = max |x|        t = s sgn(x) ∘ b,    P(bₖ = 1) = |xₖ| / s

    so that E t = x and E ‖t − x‖² = Σ |xₖ| (s − |xₖ|). The outliers that would make s large are cut
    off first, at c σ (equation 16, gradient clipping), which is a small bias.

    Five ternary digits take a byte, and each tensor 4 bytes for its s. With error feedback s is
    multiplied by ⟨x, t⟩ / ‖t‖², which makes t the projection of x: a contraction.
    """

    Settings: ClassVar[type[TernGradSettings]] = TernGradSettings
    gives: ClassVar[Literal["update", "values", "codes"]] = "codes"
    takes: ClassVar[Literal["update", "values", "bytes"]] = "update"

    def compress(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the ternary digits, five a byte, and each tensor's scale."""
        digits, scales = torch.empty_like(update), []
        draws = torch.rand(len(update), generator=generator)
        for part in self._parts():
            own = update[part]
            if self.settings.clip:
                most = self.settings.clip * float(own.std(correction=0))
                own = own.clamp(-most, most) if most > 0 else own
            scale = own.abs().max()
            digits[part] = own.sign() * (draws[part] * scale < own.abs())
            if self.settings.error_feedback:
                ones = digits[part].abs().sum()
                scale = update[part] @ digits[part] / ones if ones > 0 else torch.zeros(())
            scales.append(scale)
        return Payload(_bytes(digits), {SCALES: torch.stack(scales)})

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return the digits times their tensors' scales."""
        parts = list(self._parts())
        update = _digits(payload.values, parts[-1].stop)
        for part, scale in zip(parts, payload.along[SCALES], strict=True):
            update[part] *= scale
        return update

    def _parts(self) -> Iterator[slice]:
        """Yield where each tensor stands in an update."""
        for entry in self.layout.shared_entries:
            yield entry.place(self.layout.wire.start)


def _bytes(digits: torch.Tensor) -> torch.Tensor:
    """Return digits −1, 0 and 1 as bytes, five in each."""
    rows = functional.pad((digits + 1).int(), (0, -len(digits) % DIGITS)).view(-1, DIGITS)
    return (rows * 3 ** torch.arange(DIGITS, dtype=torch.int32)).sum(1).to(torch.uint8)


def _digits(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return (count,) float32 the digits that :func:`_bytes` was given."""
    rows = values.int().unsqueeze(1) // 3 ** torch.arange(DIGITS, dtype=torch.int32) % 3
    return (rows.flatten()[:count] - 1).float()
