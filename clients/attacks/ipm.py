"""IPM: an update whose inner product with the true one is negative."""

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


class IpmSettings(CollusiveAttackSettings):
    """Keys of ``[attack]`` with name = "ipm"."""

    knowledge: Literal["own", "all"] = Field(
        "all", description="whose honest updates are averaged; the paper: 'all' benign ones"
    )
    epsilon: float = Field(
        0.1, gt=0, description="ε: size of the attack, in units of the honest mean"
    )


@attacks.register("ipm")
class Ipm(CollusiveAttack):
    """IPM: inner-product manipulation, −ε times the honest mean (Xie et al. 2020, UAI).

    "Fall of empires", section 4: all send −ε / (n − m) · Σ of the benign updates. A small ε hides
    among benign updates, a large one reverses the mean. The paper's attackers know every benign
    update. ε = 0.1 as in Karimireddy et al. 2022.
    """

    Settings: ClassVar[type[AttackSettings]] = IpmSettings

    def agreed(self, observed: ObservedUpdates, generator: np.random.Generator) -> Vector:
        """Return the manipulated mean."""
        return np.asarray(-self.settings.epsilon * self.known(observed).mean(axis=0))
