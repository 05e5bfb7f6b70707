"""ALIE: a little is enough, a shift that hides in the spread of the updates."""

from __future__ import annotations

import math
from statistics import NormalDist
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


class AlieSettings(CollusiveAttackSettings):
    """Keys of ``[attack]`` with name = "alie"."""

    knowledge: Literal["own", "all"] = Field(
        "own", description="whose honest updates give mean and spread; the paper: 'own'"
    )
    z: float | None = Field(
        None, description="how many standard deviations to shift; default: the paper's z_max"
    )


@attacks.register("alie")
class Alie(CollusiveAttack):
    """ALIE: every weight shifted by z standard deviations (Baruch et al. 2019, NeurIPS).

    Algorithm 3: with n workers, m of them corrupted, s = ⌊n/2 + 1⌋ − m and z_max the largest z with
    Φ(z) < (n − m − s) / (n − m), all send µ − z_max σ, coordinate by coordinate. In the paper
    the attackers know only the corrupted workers' own data (``knowledge = "own"``); later work such
    as Karimireddy et al. 2022 takes µ and σ of all benign updates (``"all"``). n and m are those of
    the round.
    """

    Settings: ClassVar[type[AttackSettings]] = AlieSettings

    def agreed(self, observed: ObservedUpdates, generator: np.random.Generator) -> Vector:
        """Return the shifted mean."""
        known = self.known(observed)
        z = self.settings.z
        if z is None:
            z = largest_shift(len(observed.own) + len(observed.benign), len(observed.own))
        return np.asarray(known.mean(axis=0) - z * known.std(axis=0))


def largest_shift(workers: int, corrupted: int) -> float:
    """Return z_max, or 0 if so many are corrupted that they need no supporters."""
    supporters = math.floor(workers / 2 + 1) - corrupted
    benign = workers - corrupted
    part = (benign - supporters) / benign
    return NormalDist().inv_cdf(part) if 0 < part < 1 else 0.0
