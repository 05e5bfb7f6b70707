"""Deep CORAL's client: covariances of features are aligned (Sun and Saenko 2016, ECCV)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.domains import DomainClient, DomainTerm, features_of
from fedlab.registry import clients
from fedlab.training.task import LocalTask
from fedlab.training.terms import Batch


class CoralSettings(ClientSettings):
    """Keys of ``[client]``."""

    strength: float = Field(1.0, ge=0, description="λ, the weight of the distance of covariances")
    mean_strength: float = Field(
        1.0, ge=0, description="the weight of the distance of means; 0 in the paper"
    )


@clients.register("coral")
class Coral(DomainClient):
    """Deep CORAL: covariances of features align between domains (Sun and Saenko 2016).

    "Deep CORAL: correlation alignment for deep domain adaptation", equations 1 to 3, with d
    features at the input of the head and the covariance C of a batch:

        λ · ‖C − C'‖² / (4 d²)  +  mean_strength · ‖m − m'‖² / d

    m' and C' are the mean and the covariance of the other kind of clients over their batches of
    the last round, which travel in place of the features that the paper computes side by side:
    d + d² numbers. The second term is that of DomainBed's CORAL (Gulrajani and Lopez-Paz 2021).
    Where all clients have labels, each aligns to the mean over all: CORAL between the domains.
    """

    Settings: ClassVar[type[ClientSettings]] = CoralSettings
    settings: CoralSettings

    def term(
        self, task: LocalTask, others: torch.Tensor | None, own: torch.Tensor | None
    ) -> DomainTerm:
        """Return the distance of moments."""
        return MomentDistance(self.settings.strength, self.settings.mean_strength, others)


class MomentDistance:
    """Distances of a batch's covariance and mean from those of others.

    Args:
        strength: The weight of the covariances' distance.
        mean_strength: The weight of the means' distance.
        others: (d + d²,) mean m' and second moment E[x xᵀ] of others, or None.
    """

    def __init__(self, strength: float, mean_strength: float, others: torch.Tensor | None) -> None:
        self._strengths = strength, mean_strength
        self._others = None if others is None else _moments(others)
        self._count = 0
        self._sums: list[torch.Tensor] = []

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the distances of a batch, 0 where nothing is known of others."""
        features = features_of(batch)
        self._gather(features.detach())
        if self._others is None or len(features) < 2:
            return features.sum() * 0
        mean, covariance = self._others
        size, (strength, mean_strength) = features.shape[1], self._strengths
        own = features.mean(0)
        centred = features - own
        difference = centred.T @ centred / (len(features) - 1) - covariance
        distance = strength * difference.square().sum() / (4 * size**2)
        return distance + mean_strength * (own - mean).square().sum() / size

    def _gather(self, features: torch.Tensor) -> None:
        sums = [features.sum(0), features.T @ features]
        self._count += len(features)
        if not self._sums:
            self._sums = sums
        else:
            for total, part in zip(self._sums, sums, strict=True):
                total += part

    def vector(self) -> torch.Tensor:
        """Return mean and second moment over the round's batches, (d + d²,)."""
        return torch.cat([total.flatten() for total in self._sums]) / self._count


def _moments(told: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean (d,) and the covariance (d, d) of a vector (d + d²,)."""
    size = round((-1 + (1 + 4 * len(told)) ** 0.5) / 2)
    mean, second = told[:size], told[size:].view(size, size)
    return mean, second - torch.outer(mean, mean)
