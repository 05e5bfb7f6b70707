"""Bit flips: malicious or faulty clients flip bits of their updates."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field

from fedlab.attacks.attack import Attack, AttackSettings
from fedlab.registry import attacks


class BitFlipSettings(AttackSettings):
    """Keys of ``[attack]`` with name = "bit-flip"; the defaults are the paper's."""

    bits: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field(
        (22, 30, 31, 32),
        min_length=1,
        description="bits of a 32-bit number: 1 is the fraction's lowest, 32 the sign",
    )
    values: int = Field(
        1000, ge=1, description="number of values of an update that are changed, from the first"
    )


@attacks.register("bit-flip")
class BitFlip(Attack):
    """Bit flip: bits 22, 30, 31, 32 of an update's values flipped (Xie et al. 2018, arXiv).

    "Generalized Byzantine-tolerant SGD", section 6 (and "Phocas" by the same authors). The attacker
    needs no knowledge. Small values become as large as 10³⁷; an update that is not finite any
    more counts as a failed client.
    """

    Settings: ClassVar[type[AttackSettings]] = BitFlipSettings

    def corrupted(
        self,
        trained: torch.Tensor,
        received: torch.Tensor,
        before: torch.Tensor | None,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return weights with bits flipped in their change from those received."""
        update = trained - received
        mask = sum(1 << (bit - 1) for bit in set(self.settings.bits))
        # The highest bit is the sign of the integer too.
        signed = mask - (1 << 32) if mask >= 1 << 31 else mask
        part = update[: self.settings.values]
        part.copy_((part.view(torch.int32) ^ signed).view(torch.float32))
        return received + update
