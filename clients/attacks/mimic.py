"""Mimic: all malicious clients copy one benign client, which increases its influence."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from fedlab.attacks.attack import (
    AttackSettings,
    CollusiveAttack,
    CollusiveAttackSettings,
    ObservedUpdates,
    Vector,
)
from fedlab.registry import attacks


class MimicSettings(CollusiveAttackSettings):
    """Keys of ``[attack]`` with name = "mimic"."""

    knowledge: Literal["all"] = Field("all", description="the attackers see all benign updates")
    warmup: int = Field(
        20, ge=1, description="rounds in which the direction of largest variance is estimated"
    )


@attacks.register("mimic")
class Mimic(CollusiveAttack):
    """Mimic: copies the benign client that stands out most (Karimireddy et al. 2022, ICLR).

    Their section 3.2 and appendix B: the attackers, who see all benign updates, estimate the
    direction z of their largest variance by Oja's rule, z ← t/(1+t) z + 1/(1+t) · d/‖d‖ with
    d = Σ (xᵢ − µ) ⟨xᵢ − µ, z⟩ and µ the running mean, and copy the client i* with the largest
    ⟨z, xᵢ⟩. After the warm-up i* is fixed; in a round without it, the same rule picks another.
    Their updates are indistinguishable from those of honest clients.

    Attributes:
        rounds: Number of rounds seen.
        mean: µ.
        direction: z.
        target: i*, or −1.
    """

    Settings: ClassVar[type[AttackSettings]] = MimicSettings

    def __init__(self, settings: MimicSettings) -> None:
        super().__init__(settings)
        self.rounds = 0
        self.mean: Vector = np.zeros(1)
        self.direction: Vector = np.zeros(1)
        self.target = -1

    def agreed(self, observed: ObservedUpdates, generator: np.random.Generator) -> Vector:
        """Return the update of the client to copy."""
        learning = self.rounds < self.settings.warmup
        if learning:
            self._learn(observed.benign, generator)
        if learning or self.target not in observed.clients:
            chosen = int((observed.benign @ self.direction).argmax())
        else:
            chosen = observed.clients.index(self.target)
        if learning:
            self.target = observed.clients[chosen]
        self.rounds += 1
        return np.asarray(observed.benign[chosen])

    def _learn(self, benign: Vector, generator: np.random.Generator) -> None:
        """Take a step of Oja's rule."""
        seen = self.rounds
        if seen == 0:
            self.direction = generator.normal(size=benign.shape[1])
        self.mean = (seen * self.mean + benign.mean(axis=0)) / (seen + 1)
        gaps = benign - self.mean
        step = (gaps @ self.direction) @ gaps
        step = step / max(np.linalg.norm(step), np.finfo(float).tiny)
        mixed = step if seen == 0 else (seen * self.direction + step) / (seen + 1)
        self.direction = mixed / max(np.linalg.norm(mixed), np.finfo(float).tiny)
