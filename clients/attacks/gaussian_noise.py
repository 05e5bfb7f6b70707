"""Gaussian noise: malicious clients send noise instead of an update."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from fedlab.attacks.attack import Attack, AttackSettings
from fedlab.registry import attacks


class GaussianNoiseSettings(AttackSettings):
    """Keys of ``[attack]`` with name = "gaussian-noise"."""

    deviation: float = Field(1.0, gt=0, description="σ: standard deviation of each weight's change")
    add: bool = Field(
        False, description="add the noise to the honest update instead of replacing it"
    )


@attacks.register("gaussian-noise")
class GaussianNoise(Attack):
    """Gaussian noise: N(0, σ²) instead of the update (Blanchard et al. 2017, Krum, NeurIPS).

    The attacker needs no knowledge. Blanchard et al. draw with σ = 200.
    """

    Settings: ClassVar[type[AttackSettings]] = GaussianNoiseSettings

    def corrupted(
        self,
        trained: torch.Tensor,
        received: torch.Tensor,
        before: torch.Tensor | None,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return noisy weights."""
        deviation: float = self.settings.deviation
        noise = deviation * torch.randn(received.shape, generator=generator)
        return (trained if self.settings.add else received) + noise
