"""Updates in half precision: 2 bytes a number in the place of 4."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from fedlab.algorithm.processing import Payload, Received, UpdateProcessor
from fedlab.registry import updates

LARGEST = torch.finfo(torch.float16).max


@updates.register("float16")
class Float16(UpdateProcessor):
    """Sends updates as IEEE half-precision numbers: half the bytes, 11 significant bits.

    A number is rounded to the nearest of its size; one beyond ±65,504 becomes that, and one below
    6 · 10⁻⁸ becomes 0. Updates are small differences, so that neither happens in practice.
    """

    gives: ClassVar[Literal["update", "values", "codes"]] = "codes"

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the update as float16."""
        return Payload(update.clamp(-LARGEST, LARGEST).to(torch.float16))

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return it as float32."""
        return payload.values.float()


@updates.register("bfloat16")
class BFloat16(UpdateProcessor):
    """Sends updates as bfloat16: half the bytes, the range of float32, 8 significant bits.

    NumPy and Flower know no such type: the bits travel as whole numbers.
    """

    gives: ClassVar[Literal["update", "values", "codes"]] = "codes"

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the bits of the update as bfloat16."""
        return Payload(update.to(torch.bfloat16).view(torch.int16))

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return it as float32."""
        return payload.values.view(torch.bfloat16).float()
