"""DnC: spectral filtering, divide and conquer (Shejwalkar and Houmansadr 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    mean,
    updates,
)
from fedlab.registry import strategies


class DncSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` with name = "dnc"."""

    weighting: Literal["examples", "clients"] = Field(
        "clients", description="what a client weighs in a mean; the paper counts clients"
    )
    num_malicious_nodes: int = Field(0, ge=0, description="m: malicious clients in a cohort")
    filtering: float = Field(1.0, gt=0, description="c: c·m updates are dropped in an iteration")
    iterations: int = Field(1, ge=1, le=100, description="an update must survive all of them")
    subsample: int = Field(10_000, ge=1, description="b: coordinates drawn for an iteration")


@strategies.register("dnc")
class Dnc(VectorStrategy):
    """DnC: drops the updates that deviate most along the main direction (Shejwalkar et al. 2021).

    Divide and conquer, NDSS 2021, Algorithm 2. In each iteration: draw b coordinates, centre the
    updates on them, take the top right singular vector v, score update i by ⟨gᵢ − µ, v⟩², drop the
    c·m with the highest scores. The mean of the updates that survive every iteration is taken.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = DncSettings
    traits = Traits(statistics="median")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        # All iterations together must leave at least one client.
        bound = math.ceil(max(2.0, settings.filtering * settings.iterations)), 1
        self.traits = replace(self.traits, malicious_bound=bound)

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of the weights that no iteration dropped."""
        points = updates(weights, replies)
        good = reduce(np.intersect1d, [self._kept(points) for _ in range(self.settings.iterations)])
        return np.asarray(mean([replies[int(i)] for i in good]))

    def _kept(self, points: Vector) -> Vector:
        """Return the numbers of the updates that one iteration keeps."""
        size = points.shape[1]
        count = min(self.settings.subsample, size)
        drawn = np.sort(np.random.choice(size, count, replace=False))
        scores = outlier_scores(points[:, drawn])
        # Failed clients may leave fewer updates than the scenario's cohort.
        most = (len(points) - 1) // self.settings.iterations
        dropped = min(int(self.settings.filtering * self.settings.num_malicious_nodes), most)
        return np.argsort(scores, kind="stable")[: len(points) - dropped]


def outlier_scores(points: Vector) -> Vector:
    """Return (n,) each point's squared projection on the main direction of the centred points.

    The projections are the top left singular vector times its singular value, which the small
    (n, n) matrix of inner products has as eigenvector and root of an eigenvalue.

    Args:
        points: (n, b).
    """
    centred = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    return np.asarray(values[-1] * vectors[:, -1] ** 2)
