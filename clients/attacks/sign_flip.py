"""Sign flipping: malicious clients reverse their updates."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from fedlab.attacks.attack import Attack, AttackSettings
from fedlab.registry import attacks


class SignFlipSettings(AttackSettings):
    """Keys of ``[attack]`` with name = "sign-flip"."""

    scale: float = Field(1.0, gt=0, description="factor of the reversed update")


@attacks.register("sign-flip")
class SignFlip(Attack):
    """Sign flipping: the honest update times a negative number (Li et al. 2019, RSA, AAAI).

    The attacker knows its own honest update Δ and sends −scale · Δ. With scale = 1 this is what
    Karimireddy et al. 2022 call "bit flipping".
    """

    Settings: ClassVar[type[AttackSettings]] = SignFlipSettings

    def corrupted(
        self,
        trained: torch.Tensor,
        received: torch.Tensor,
        before: torch.Tensor | None,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the received weights moved by the reversed update."""
        scale: float = self.settings.scale
        return received - scale * (trained - received)
