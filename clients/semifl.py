"""SemiFL's client: it learns what the global model is sure of, from pictures without labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from pydantic import Field

from fedlab import seeding
from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.algorithm.setup import Setup
from fedlab.data.augmentation import draw_seed
from fedlab.data.dataset import Examples, Task
from fedlab.errors import FedlabError
from fedlab.registry import clients
from fedlab.training.criterion import Criterion
from fedlab.training.evaluation import classes_of, predict, probabilities_of
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask, Update
from fedlab.training.terms import Batch, TaskLoss


class SemiFlSettings(ClientSettings):
    """Keys of ``[client]`` for SemiFL."""

    confidence: float = Field(
        0.95, ge=0, le=1, description="τ: least probability of a class that an example is given"
    )
    mix_strength: float = Field(
        1.0, ge=0, description="λ, the weight of the loss of mixed examples"
    )
    mix_alpha: float = Field(
        0.75, gt=0, le=10, description="α of the Beta distribution of their shares"
    )


@clients.register("semifl")
class SemiFl(ClientAlgorithm):
    """SemiFL: clients learn the classes that the global model gives (Diao et al. 2022, NeurIPS).

    "SemiFL: Semi-Supervised Federated Learning for Unlabeled Clients with Alternate Training",
    Algorithm 1. A client without labels lets the model that it receives give each of its examples
    x a class y, once, and keeps those of probability τ and more (as FixMatch does in each batch,
    Sohn et al. 2020). It descends

        ℓ(f(A(x)), y) + λ [m ℓ(f(z), y) + (1 − m) ℓ(f(z), y')],   z = m x + (1 − m) x'

    with the scenario's augmentation A, x of those that it kept, and x' of all that it has, with
    the class y' that these were given; one share m ~ Beta(α, α) a batch. What is mixed is not
    augmented. A client that is sure of nothing returns what it received, and weighs as one
    example; others weigh as those that they kept. (The paper leaves the former out, and weighs
    the others alike: ``strategy.weighting = "clients"``.) Where there are labels, at the server
    (strategy "semifl") or on a client, the task loss is descended, with the same augmentation.
    """

    Settings: ClassVar[type[ClientSettings]] = SemiFlSettings
    settings: SemiFlSettings
    learns_without_labels: ClassVar[bool] = True
    couples_examples: ClassVar[bool] = True

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence where everybody has labels."""
        yield from super().objections(setup)
        if not setup.federation.unlabelled:
            yield (
                "client.name: 'semifl' learns from clients without labels, and all have some; name "
                "those without in data.unlabelled"
            )

    def notes(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence where what is learned from is what classes were given by."""
        data = setup.scenario.data
        if data.augmentation is None or data.augmentation.changes_nothing:
            yield (
                "client 'semifl' has no augmentation to hold against the classes that it gives; a "
                "table [data.augmentation] with randaugment = 2, say, is what it learns most by"
            )

    def criterion(self, task: Task) -> Criterion:
        """Return the task loss.

        Raises:
            FedlabError: If the task has no classes.
        """
        if task.kind != "classification":
            raise FedlabError(
                "client.name: 'semifl' gives examples classes, and the data set's task is "
                f"{task.kind}; take a data set with classes"
            )
        return super().criterion(task)

    def train(self, task: LocalTask) -> Update:
        """Train on the examples that the received model is sure of; say how many they are."""
        if task.is_labelled:
            return super().train(task)
        outputs = predict(task.network, task.examples.inputs, task.prepare).float()
        sure = probabilities_of(outputs).max(1).values >= self.settings.confidence
        rows = sure.nonzero()[:, 0]
        if not len(rows):
            return replace(self.update(task, Fit(0, 0, 0.0)), examples=1)
        given = task.examples.with_targets(classes_of(outputs))
        own = replace(task, examples=given.take(rows))
        objective = self.objective(own)
        if self.settings.mix_strength:
            settings = self.settings
            mixed = MixedExamples(
                given, rows, objective.criterion, settings.mix_strength, settings.mix_alpha
            )
            objective = replace(objective, batch_terms=[*objective.batch_terms, mixed])
        return self.update(own, self.descend(own, objective, self.steps(own)))


@dataclass(frozen=True)
class MixedExamples:
    """λ [m ℓ(f(z), y) + (1 − m) ℓ(f(z), y')] on z = m x + (1 − m) x', drawn anew for each batch.

    Attributes:
        given: All examples of a client, with the classes that they were given.
        sure: The rows of those that x is drawn from.
        criterion: ℓ.
        strength: λ.
        alpha: α of the Beta distribution of m.
    """

    given: Examples
    sure: torch.Tensor
    criterion: TaskLoss
    strength: float
    alpha: float

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the term, on as many mixed examples as the batch has."""
        task, size = batch.task, len(batch.targets)
        share = float(
            seeding.numpy_generator(draw_seed(task.generator), "mix").beta(self.alpha, self.alpha)
        )
        chosen = torch.randint(len(self.sure), (size,), generator=task.generator)
        first = self.given.take(self.sure[chosen.to(self.sure.device)])
        other = self.given.take(torch.randint(len(self.given), (size,), generator=task.generator))
        both = [task.prepare(examples.inputs) for examples in (first, other)]
        outputs = task.network.model.call(share * both[0] + (1 - share) * both[1])
        losses = [self.criterion(outputs, examples.targets) for examples in (first, other)]
        return self.strength * (share * losses[0] + (1 - share) * losses[1])
