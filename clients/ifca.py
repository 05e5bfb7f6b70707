"""IFCA's client: trains the one of several models that fits it best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.algorithm.setup import Setup
from fedlab.registry import clients
from fedlab.training.evaluation import evaluate
from fedlab.training.task import LocalTask, Update


@clients.register("ifca")
class Ifca(ClientAlgorithm):
    """IFCA's client: trains the model with the least loss on its data (Ghosh et al. 2020).

    Algorithm 1, lines 6 to 8: ĵ = argmin_j Fᵢ(θⱼ), with Fᵢ the mean loss over all of the client's
    training examples, and the first of ties. The choice is reported as metric ``cluster``.
    Evaluation on validation examples chooses in the same way, by the training examples.
    """

    required_strategy: ClassVar[str | None] = "ifca"

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if update processors would be given the change from another model."""
        yield from super().objections(setup)
        if setup.scenario.updates:
            yield (
                "updates: a client of 'ifca' trains one of several models, and update processors "
                "work on how far it went from the first; leave [[updates]] out, or take another "
                "client"
            )

    def train(self, task: LocalTask) -> Update:
        """Choose a model and train it."""
        cluster = self.choose(task)
        chosen = task.network.model.wire().clone()
        update = super().train(task)
        update.metrics["cluster"] = float(cluster)
        return replace(update, origin=chosen)

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the chosen model on the client's validation part."""
        cluster = self.choose(task)
        return {**super().evaluate(task), "cluster": float(cluster)}

    def choose(self, task: LocalTask) -> int:
        """Load the model with the least training loss; return its number."""
        model = task.network.model
        wire = model.weights[model.layout.wire]
        models = [wire.clone()]
        while (vector := task.arrays.get(f"cluster-{len(models)}")) is not None:
            models.append(vector)
        losses = []
        for vector in models:
            wire.copy_(vector)
            losses.append(self._training_loss(task))
        cluster = losses.index(min(losses))
        wire.copy_(models[cluster])
        return cluster

    def _training_loss(self, task: LocalTask) -> float:
        criterion = self.criterion(task.task)
        measured = evaluate(task.network, task.examples, task.task, task.prepare, criterion)
        return measured.compute()["loss"]
