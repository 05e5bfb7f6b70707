"""Min-max: the largest step no farther from the others than these are from each other."""

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


class MinMaxSettings(CollusiveAttackSettings):
    """Keys of ``[attack]`` with name = "min-max"."""

    knowledge: Literal["own", "all"] = Field(
        "all", description="whose honest updates are known; the paper treats both"
    )
    direction: Literal["unit", "deviation", "sign"] = Field(
        "deviation", description="the perturbation: inverse unit vector, deviation or sign"
    )


@attacks.register("min-max")
class MinMax(CollusiveAttack):
    """Min-max: the largest perturbation within the updates' spread (Shejwalkar et al. 2021, NDSS).

    All send µ + γ p with the largest γ for which max ‖µ + γ p − ∇ᵢ‖ ≤ max ‖∇ᵢ − ∇ⱼ‖ over the known
    updates (their equation 5), p being −µ/‖µ‖, −σ or −sign µ. The largest γ solves a quadratic
    equation for each known update; the paper's Algorithm 1 finds it by bisection. In the paper
    attackers know all benign updates or, in its weaker setting, their own (``knowledge``).
    """

    Settings: ClassVar[type[AttackSettings]] = MinMaxSettings

    def agreed(self, observed: ObservedUpdates, generator: np.random.Generator) -> Vector:
        """Return the perturbed mean."""
        known = self.known(observed)
        mean = known.mean(axis=0)
        direction = self._direction(known, mean)
        return np.asarray(mean + largest_factor(known, mean, direction) * direction)

    def _direction(self, known: Vector, mean: Vector) -> Vector:
        if self.settings.direction == "unit":
            return np.asarray(-mean / max(np.linalg.norm(mean), np.finfo(float).tiny))
        if self.settings.direction == "sign":
            return np.asarray(-np.sign(mean))
        return np.asarray(-known.std(axis=0))


def largest_factor(known: Vector, mean: Vector, direction: Vector) -> float:
    """Return the largest γ that keeps mean + γ direction within the known updates' diameter."""
    squares = (known**2).sum(axis=1)
    between = squares[:, None] + squares[None, :] - 2 * known @ known.T
    gaps = mean - known
    a = float(direction @ direction)
    if a == 0:
        return 0.0
    # a γ² + 2 b γ + c ≤ 0 for each known update, where c ≤ 0: the mean is within the diameter.
    b = gaps @ direction
    c = np.minimum(0, (gaps**2).sum(axis=1) - between.max())
    return float(((np.sqrt(b**2 - a * c) - b) / a).min())
