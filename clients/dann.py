"""DANN's client: a discriminator of domains, and features that deceive it (Ganin et al. 2016)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from fedlab import seeding
from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.domains import DomainClient, DomainTerm, features_of
from fedlab.algorithm.setup import Setup
from fedlab.registry import clients
from fedlab.training.task import LocalTask
from fedlab.training.terms import Batch


class DannSettings(ClientSettings):
    """Keys of ``[client]``."""

    strength: float = Field(1.0, ge=0, description="λ that the reversed gradient rises to")
    rise: float = Field(10.0, ge=0, description="γ of λ's rise over the rounds; 0: λ is constant")
    discriminator_units: int = Field(
        64, ge=1, le=65536, description="units of the discriminator's hidden layer"
    )
    discriminator_rate: float = Field(
        0.05, gt=0, le=100, description="learning rate of the discriminator, by plain SGD"
    )


@clients.register("dann")
class Dann(DomainClient):
    """DANN: features that a discriminator of domains cannot tell apart (Ganin et al. 2016, JMLR).

    "Domain-adversarial training of neural networks", equations 13 to 15: the discriminator D, one
    hidden layer on the inputs of the head, descends its cross-entropy L_d (source 0, target 1),
    and a reversal layer multiplies by −λ the gradient that L_d gives to the features, with

        λ = strength · (2 / (1 + exp(−γ p)) − 1)      p from 0 to 1 over the rounds

    A client has examples of one domain only. So D travels: each client trains the D it receives
    on its own domain, and the next one is the mean of the source clients' and the target clients'
    mean, each counting half. To first order in the learning rate that is Ganin's step on both;
    few local steps a round keep it so. (FADA, Peng et al. 2020, trains D on features of both
    domains instead, which would have to leave their clients.)
    """

    Settings: ClassVar[type[ClientSettings]] = DannSettings
    settings: DannSettings

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence where there are no two domains, or the discriminator cannot learn."""
        yield from super().objections(setup)
        if not setup.federation.unlabelled:
            yield (
                "client.name: 'dann' tells clients with labels from those without, and all have "
                "some; name the target's in data.unlabelled"
            )
        if getattr(setup.scenario.engine, "precision", "") == "fp16":
            yield (
                "engine.precision: 'fp16' multiplies losses, and 'dann' takes steps of a "
                "discriminator by their gradients; take 'bf16' or 'float32'"
            )

    def term(
        self, task: LocalTask, others: torch.Tensor | None, own: torch.Tensor | None
    ) -> DomainTerm:
        """Return the discriminator's loss behind the reversal layer."""
        settings = self.settings
        received = None if others is None or own is None else (others + own) / 2
        return Deception(
            self.reversal(task),
            0.0 if task.is_labelled else 1.0,
            settings.discriminator_units,
            settings.discriminator_rate,
            received,
        )

    def reversal(self, task: LocalTask) -> float:
        """Return λ of a round."""
        settings = self.settings
        if not settings.rise:
            return settings.strength
        progress = (task.round - task.first_round) / max(task.rounds - 1, 1)
        return settings.strength * (2 / (1 + math.exp(-settings.rise * progress)) - 1)


class Deception:
    """Trains a discriminator by each batch, and gives features the reversed gradient of its loss.

    Args:
        reversal: λ.
        domain: What the discriminator shall say of this client's examples: 0 or 1.
        units: Of its hidden layer.
        rate: Its learning rate.
        received: (n,) its parameters, or None: the first ones, the same for all clients.
    """

    def __init__(
        self, reversal: float, domain: float, units: int, rate: float, received: torch.Tensor | None
    ) -> None:
        self._reversal = reversal
        self._domain = domain
        self._units = units
        self._rate = rate
        self._parameters = None if received is None else received.clone().requires_grad_()

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the discriminator's loss; ``backward`` reverses its gradient on the way down."""
        features = features_of(batch)
        if self._parameters is None:
            first = first_discriminator(features.shape[1], self._units).to(features)
            self._parameters = first.requires_grad_()
        self._descend()
        scores = discriminated(
            _Reversed.apply(features, self._reversal), self._parameters, self._units
        )
        return functional.binary_cross_entropy_with_logits(
            scores, torch.full_like(scores, self._domain)
        )

    def _descend(self) -> None:
        """Take the step of the batch before, whose gradient is there."""
        parameters = self._parameters
        if parameters is not None and parameters.grad is not None:
            with torch.no_grad():
                parameters -= self._rate * parameters.grad
            parameters.grad = None

    def vector(self) -> torch.Tensor:
        """Return the discriminator's parameters, (n,)."""
        self._descend()
        assert self._parameters is not None
        return self._parameters.detach()


def first_discriminator(features: int, units: int) -> torch.Tensor:
    """Return the first parameters, (units · features + 2 · units + 1,)."""
    generator = seeding.torch_generator(0, "discriminator", features, units)
    hidden = torch.randn(units * features, generator=generator) * (2 / features) ** 0.5
    output = torch.randn(units, generator=generator) * (1 / units) ** 0.5
    return torch.cat([hidden, torch.zeros(units), output, torch.zeros(1)])


def discriminated(features: torch.Tensor, parameters: torch.Tensor, units: int) -> torch.Tensor:
    """Return the scores (B,) of features (B, d): above 0, they are taken for the target's."""
    size = features.shape[1]
    hidden, bias, output, offset = torch.split(parameters, [units * size, units, units, 1])
    active = functional.relu(features @ hidden.view(units, size).T + bias)
    scores: torch.Tensor = active @ output + offset
    return scores


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is multiplied by −λ."""

    @staticmethod
    def forward(context: Any, features: torch.Tensor, reversal: float) -> torch.Tensor:
        context.reversal = reversal
        return features.view_as(features)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -context.reversal * gradients[0], None
