"""Free riders: clients that take part without training."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field

from fedlab.attacks.attack import Attack, AttackSettings
from fedlab.registry import attacks


class FreeRiderSettings(AttackSettings):
    """Keys of ``[attack]`` with name = "free-rider"."""

    update: Literal["delta", "random"] = Field(
        "delta", description="'delta': the last change of the global weights; 'random': noise"
    )
    reach: float = Field(0.001, gt=0, description="R of 'random': uniform noise in [−R, R]")
    noise: float = Field(0.0, ge=0, description="standard deviation of noise added to 'delta'")


@attacks.register("free-rider")
class FreeRider(Attack):
    """Free rider: sends the last global change as its own, or noise (Lin et al. 2019).

    "Free-riders in federated learning: attacks and defenses". The attacker knows only what it was
    sent: delta weights are the difference of the global weights of this round and of the last in
    which it took part (nothing in its first), with noise "advanced delta weights"; random weights
    are uniform noise. The simulation trains it nevertheless, for the metrics that it reports.
    """

    Settings: ClassVar[type[AttackSettings]] = FreeRiderSettings
    remembers: ClassVar[bool] = True

    def corrupted(
        self,
        trained: torch.Tensor,
        received: torch.Tensor,
        before: torch.Tensor | None,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the received weights with a fabricated change."""
        settings: FreeRiderSettings = self.settings
        if settings.update == "random":
            draw = torch.rand(received.shape, generator=generator)
            return received + settings.reach * (2 * draw - 1)
        change = torch.zeros_like(received) if before is None else received - before
        if settings.noise:
            change = change + settings.noise * torch.randn(received.shape, generator=generator)
        return received + change
