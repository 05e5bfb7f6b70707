"""QSGD: numbers rounded at random to a few levels, right on average."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.algorithm.error_feedback import ErrorFeedback, ErrorFeedbackSettings
from fedlab.algorithm.processing import Payload, Received
from fedlab.registry import updates

NORMS, LENGTH = "norms", "length"
WIDTHS = (2, 4, 8, 16)
"""Bits that a code may take."""


class QsgdSettings(ErrorFeedbackSettings):
    """Keys of a table of ``[[updates]]`` with name = "qsgd"."""

    error_feedback: bool = Field(
        False,
        description="whether what was left out is added to the client's next update; norms are "
        "then those that leave the least error, and numbers not right on average",
    )
    levels: int = Field(
        127,
        ge=1,
        le=32767,
        description="s, levels above 0: a number takes 2 bits for 1, 4 for up to 7, 8 for up to "
        "127, else 16",
    )
    bucket_size: int = Field(
        512, ge=1, description="numbers that share a norm, of 4 bytes; the fewer, the more exact"
    )


@updates.register("qsgd")
class Qsgd(ErrorFeedback):
    """QSGD: stochastic quantisation to s levels, unbiased (Alistarh et al. 2017, NeurIPS).

    "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding", section 3.1: with
    ‖v‖ the Euclidean norm of a bucket and l the level below, l/s ≤ |vᵢ| / ‖v‖ ≤ (l + 1)/s,

        Q(vᵢ) = ‖v‖ sgn(vᵢ) ξᵢ,    ξᵢ = (l + 1)/s with probability |vᵢ| s / ‖v‖ − l, else l/s

    so that E Q(v) = v. Signed levels travel in a fixed number of bits (the paper's Elias code takes
    fewer where most are 0), and a norm for each bucket. With error feedback each norm is multiplied
    by ⟨v, Q(v)⟩ / ‖Q(v)‖², which makes Q(v) the projection of v: a contraction, as it must be.
    """

    Settings: ClassVar[type[QsgdSettings]] = QsgdSettings
    gives: ClassVar[Literal["update", "values", "codes"]] = "codes"

    def compress(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the packed levels, and the buckets' norms."""
        levels = self.settings.levels
        buckets = self._buckets(update)
        norms = torch.linalg.vector_norm(buckets, dim=1)
        scaled = buckets / torch.where(norms > 0, norms, 1.0).unsqueeze(1) * levels
        draws = torch.rand(buckets.shape, generator=generator)
        below = scaled.abs().floor()
        rounded: torch.Tensor = (below + (draws < scaled.abs() - below)).clamp(
            max=levels
        ) * scaled.sign()
        if self.settings.error_feedback:
            along_v, squares = (buckets * rounded).sum(1), rounded.square().sum(1)
            norms = levels * along_v / torch.where(squares > 0, squares, 1.0)
        codes = (rounded.int() + levels).flatten()[: len(update)]
        along = {NORMS: norms, LENGTH: torch.tensor([len(update)])}
        return Payload(packed(codes, width_of(levels)), along)

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return the levels times their buckets' norms over s."""
        levels, count = self.settings.levels, int(payload.along[LENGTH])
        codes = unpacked(payload.values, width_of(levels), count) - levels
        buckets: torch.Tensor = self._buckets(codes.float()) * (
            payload.along[NORMS] / levels
        ).unsqueeze(1)
        return buckets.flatten()[:count]

    def _buckets(self, vector: torch.Tensor) -> torch.Tensor:
        """Return a vector as (buckets, bucket size), filled up with zeros."""
        size = self.settings.bucket_size
        filled: torch.Tensor = functional.pad(vector, (0, -len(vector) % size))
        return filled.view(-1, size)


def width_of(levels: int) -> int:
    """Return the bits of a code that is one of 2s + 1."""
    return next(width for width in WIDTHS if 2 * levels < 2**width)


def packed(codes: torch.Tensor, width: int) -> torch.Tensor:
    """Return codes, each of ``width`` bits, side by side in bytes.

    Args:
        codes: (n,) whole numbers from 0 to 2^width − 1.
        width: 2, 4, 8 or 16.
    """
    if width == 16:
        return (codes - 2**15).to(torch.int16)
    each = 8 // width
    rows = functional.pad(codes, (0, -len(codes) % each)).view(-1, each)
    shifts = torch.arange(0, 8, width, dtype=codes.dtype)
    return (rows << shifts).sum(1).to(torch.uint8)


def unpacked(values: torch.Tensor, width: int, count: int) -> torch.Tensor:
    """Return (count,) the codes that :func:`packed` was given."""
    if width == 16:
        return values.int() + 2**15
    shifts = torch.arange(0, 8, width, dtype=torch.int32)
    rows: torch.Tensor = (values.int().unsqueeze(1) >> shifts) & (2**width - 1)
    return rows.flatten()[:count]
