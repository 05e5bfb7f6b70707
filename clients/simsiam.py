"""SimSiam: a view predicts the other's projection (Chen and He 2021, CVPR)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.self_supervised import LayerSize, SelfSupervised, SelfSupervisedSettings
from fedlab.data.dataset import Projection
from fedlab.registry import clients


class SimsiamSettings(SelfSupervisedSettings):
    """Keys of ``[client]`` for SimSiam."""

    name: str = "simsiam"
    prediction: LayerSize = Field(64, description="hidden size of the predictor, a bottleneck")


@clients.register("simsiam")
class Simsiam(SelfSupervised):
    """SimSiam: Siamese networks with a predictor and a stopped gradient (Chen and He 2021, CVPR).

    "Exploring Simple Siamese Representation Learning", equation 2: with p = q(z) of one view and z
    of the other, ½ D(p₁, stopgrad(z₂)) + ½ D(p₂, stopgrad(z₁)), D the negative cosine. It is
    reported as 2 − 2 cos, which has the same minima and twice the gradient. There are no negatives,
    and no second network; without the stopped gradient all projections would become one.
    """

    Settings: ClassVar[type[ClientSettings]] = SimsiamSettings
    settings: SimsiamSettings

    def projection(self) -> Projection:
        """Return a projection whose outputs are normalised, and the predictor."""
        return Projection(self.settings.projection, (self.settings.prediction,), True)
