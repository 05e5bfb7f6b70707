"""The base of meta-learning clients: what they descend is the loss of an adapted model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings, of_global_model
from fedlab.algorithm.setup import Setup
from fedlab.training.episodes import Episode, drawn, episode_count, episodes
from fedlab.training.inner_loop import adapted
from fedlab.training.loop import Fit, clip, descend
from fedlab.training.losses import MeanLoss
from fedlab.training.task import LocalTask


class MetaSettings(ClientSettings):
    """Keys of ``[client]`` for meta-learning; ``optimizer`` takes the outer steps.

    ``batch_size`` is the number of examples of an episode; ``epochs`` or ``steps`` count episodes.
    """

    inner_rate: float = Field(0.01, gt=0, description="α, the rate of adaptation")
    inner_steps: int = Field(1, ge=1, le=1000, description="steps of adaptation in training")
    shots: int | None = Field(
        None,
        ge=1,
        description="how many examples of each class a model is adapted on in training, or how "
        "many in all where there are no classes; the rest of the batch judges it; default: half",
    )

    @model_validator(mode="after")
    def _never_stops_early(self) -> Self:
        if self.early_stopping is not None:
            raise ValueError(
                f"early_stopping: '{self.name}' descends the loss of adapted models, which no "
                "validation of the model as it is would watch; leave the table out"
            )
        return self


class MetaLearner(ClientAlgorithm):
    """A client whose model is trained to be adapted.

    Whenever it is evaluated it first adapts the received model on its own training examples:
    "accuracy" is that of the adapted model, "global_accuracy" that of the received one. Clients
    that never trained (``evaluation.unseen_clients``) adapt in the same way, by full-batch steps.
    """

    Settings: ClassVar[type[ClientSettings]] = MetaSettings
    settings: MetaSettings
    couples_examples: ClassVar[bool] = True

    @abstractmethod
    def outer_gradient(self, task: LocalTask, episode: Episode) -> torch.Tensor:
        """Write an episode's gradient into the model's; return the loss on its query."""

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if an episode has no query, or losses are scaled."""
        yield from super().objections(setup)
        settings, task = self.settings, setup.task
        classes = task.classes if task.kind == "classification" else 1
        support = (settings.shots or 0) * classes
        if settings.shots is not None and support >= int(settings.batch_size):
            yield (
                f"client.shots: {settings.shots} of each of {classes} classes leave nothing of a "
                f"batch of {settings.batch_size} to judge the adapted model by; set "
                f"client.batch_size to more than {support}"
            )
        if getattr(setup.scenario.engine, "precision", "float32") == "fp16":
            yield (
                f"engine.precision: client '{settings.name}' differentiates through its own steps, "
                "whose losses are not scaled; take 'bf16' or 'float32'"
            )

    def fit(self, task: LocalTask) -> Fit:
        """Take an outer step for each episode, in place."""
        settings, model = self.settings, task.network.model
        steps, penalties = self.steps(task), self.parameter_terms(task)
        count = episode_count(task, steps.batch_size, steps.epochs, steps.limit)
        rates, losses = steps.rates(), MeanLoss()
        drawn_now = episodes(task, steps.batch_size, settings.shots, count)
        for taken, episode in enumerate(drawn_now):
            task.network.train_mode()
            steps.set_rates(rates, taken, count)
            model.zero_gradient()
            losses.add(self.outer_gradient(task, episode), len(episode.query[1]))
            with torch.no_grad():
                for penalty in penalties:
                    model.gradient.add_(penalty.gradient(model.parameter.data))
                if steps.clip_norm is not None:
                    clip(model.gradient, steps.clip_norm)
            descend(steps)
        return Fit(count, steps.epochs, losses.value())

    def adapt(self, task: LocalTask, steps: int, rate: float | None) -> None:
        """Take full-batch steps θ ← θ − α ∘ ∇L(θ) on the client's examples, in place."""
        if not steps or not len(task.examples):
            return
        everything = drawn(replace(task, augment=None), torch.arange(len(task.examples)))
        model = task.network.model
        task.network.train_mode()
        alpha = self.rates(task) if rate is None else rate * self.adapted_part(task)
        begun = model.parameter.detach().clone()
        reached = adapted(task, self.criterion(task.task), begun, everything, alpha, steps, False)
        model.parameter.data.copy_(reached)

    def rates(self, task: LocalTask) -> torch.Tensor | float:
        """Return α, a number or (P,) a rate for each trained weight."""
        return self.settings.inner_rate * self.adapted_part(task)

    def adapted_part(self, task: LocalTask) -> torch.Tensor | float:
        """Return 1, or (P,) 1 for weights that adaptation changes and 0 for others."""
        return 1.0

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the adapted model and of the received one."""
        received = of_global_model(self.measured(task))
        self.adapt(task, self.settings.inner_steps, None)
        return self.measured(task) | received
