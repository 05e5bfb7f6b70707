"""MMD's client: mean embeddings of features are aligned (Long et al. 2015, ICML)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from fedlab import seeding
from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.domains import DomainClient, DomainTerm, features_of
from fedlab.registry import clients
from fedlab.training.task import LocalTask
from fedlab.training.terms import Batch

Bandwidth = Annotated[float, Field(gt=0, le=1000)]


class MmdSettings(ClientSettings):
    """Keys of ``[client]``."""

    strength: float = Field(1.0, ge=0, description="λ, the weight of MMD²")
    bandwidths: tuple[Bandwidth, ...] = Field(
        (0.25, 0.5, 1.0),
        min_length=1,
        description="σ of each Gaussian kernel, on features of length 1; MMD² is their mean",
    )
    random_features: int = Field(
        512, ge=1, le=65536, description="random Fourier features of each kernel, which travel"
    )


@clients.register("mmd")
class Mmd(DomainClient):
    """MMD: mean embeddings of features align between domains (Gretton et al. 2012; Long 2015).

    λ · MMD² of the features at the input of the head, as in deep adaptation networks (Long et al.
    2015, ICML), with Gaussian kernels of several bandwidths. For mean embeddings to travel in place
    of features, each kernel is approximated by random Fourier features (Rahimi and Recht 2007),

        φ(x) = √(2/D) cos(Ω x + b),   Ω ~ N(0, 1/σ²),  b ~ U(0, 2π),   k(x, y) ≈ ⟨φ(x), φ(y)⟩

    the same for all clients, and MMD² = ‖mean φ(x) − mean φ(x')‖², the second mean being that of
    the other kind of clients over their batches of the last round. Features are scaled to length 1,
    so that one choice of bandwidths fits networks of any scale.
    """

    Settings: ClassVar[type[ClientSettings]] = MmdSettings
    settings: MmdSettings

    def term(
        self, task: LocalTask, others: torch.Tensor | None, own: torch.Tensor | None
    ) -> DomainTerm:
        """Return the distance of mean embeddings."""
        settings = self.settings
        embed = Embedding(settings.bandwidths, settings.random_features)
        return EmbeddingDistance(settings.strength, embed, others)


class Embedding:
    """Random Fourier features of Gaussian kernels; all clients have the same ones."""

    def __init__(self, bandwidths: tuple[float, ...], count: int) -> None:
        self._bandwidths = bandwidths
        self._count = count
        self._drawn: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Return (B, kernels · D) of features (B, d), scaled to length 1.

        The inner product of two rows is the mean over kernels of k(x, y).
        """
        if self._drawn is None:
            self._drawn = self._draw(features)
        directions, phases = self._drawn
        unit = functional.normalize(features, dim=1)
        scale = (2 / len(phases)) ** 0.5
        embedded: torch.Tensor = scale * torch.cos(unit @ directions.T + phases)
        return embedded

    def _draw(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        generator = seeding.torch_generator(0, "random Fourier features")
        shape = len(self._bandwidths), self._count
        directions = torch.randn(*shape, features.shape[1], generator=generator)
        directions /= torch.tensor(self._bandwidths).view(-1, 1, 1)
        phases = 2 * torch.pi * torch.rand(shape, generator=generator)
        return directions.flatten(0, 1).to(features), phases.flatten().to(features)


class EmbeddingDistance:
    """λ ‖mean φ(x) − mean φ(x')‖², and the mean embedding of a round's batches.

    Args:
        strength: λ.
        embed: φ.
        others: (kernels · D,) the others' mean embedding, or None.
    """

    def __init__(self, strength: float, embed: Embedding, others: torch.Tensor | None) -> None:
        self._strength = strength
        self._embed = embed
        self._others = others
        self._count = 0
        self._sum: torch.Tensor | None = None

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the distance of a batch, 0 where nothing is known of others."""
        embedded = self._embed(features_of(batch))
        total = embedded.detach().sum(0)
        self._sum = total if self._sum is None else self._sum + total
        self._count += len(embedded)
        if self._others is None:
            return embedded.sum() * 0
        return self._strength * (embedded.mean(0) - self._others).square().sum()

    def vector(self) -> torch.Tensor:
        """Return the mean embedding over the round's batches."""
        assert self._sum is not None
        return self._sum / self._count
