"""FedGKT's client: a small model that learns from the server's large one (He et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings, PersonalPart
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.soft_targets import soft_divergence
from fedlab.data.dataset import Examples
from fedlab.models.representation import represented
from fedlab.registry import clients
from fedlab.training.evaluation import ROWS_PER_BATCH
from fedlab.training.loop import Fit
from fedlab.training.task import Arrays, LocalTask
from fedlab.training.terms import Objective, TaskLoss

TAUGHT = "server-scores"
"""What the server sends: its scores of the client's own examples, flat."""


class FedGktSettings(ClientSettings):
    """Keys of ``[client]`` for FedGKT."""

    name: str = "fedgkt"
    temperature: float = Field(3.0, gt=0, le=100, description="T: how soft scores are made")
    server_weight: float = Field(
        1.0, ge=0, le=100, description="what the server's scores weigh beside the labels"
    )


@clients.register("fedgkt")
class FedGkt(ClientAlgorithm):
    """FedGKT: small models learn from a large one on the server (He et al. 2020, NeurIPS).

    "Group Knowledge Transfer: Federated Learning of Large CNNs at the Edge", Algorithm 1 and
    equations 5 and 8. Client k descends

        CE(σ(f_k(x)), y) + w · T² KL(σ(z_s(x) / T) ‖ σ(f_k(x) / T))

    with z_s the server's scores of its own examples, from the second round on that it takes part
    in. Then it sends what enters its last layer, its scores and its labels, for its training
    examples, and for its validation examples what enters the last layer and the labels, by which
    the server's model is tested. No weights travel; but features and labels of single examples do,
    which other algorithms here keep on the client.

    "accuracy" in federated evaluation is that of the small model.
    """

    Settings: ClassVar[type[ClientSettings]] = FedGktSettings
    settings: FedGktSettings
    personal_part: ClassVar[PersonalPart] = "all"
    required_strategy: ClassVar[str | None] = "fedgkt"

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield whether there are no classes, or models whose features differ in kind."""
        yield from super().objections(setup)
        if setup.task.kind != "classification" or setup.task.outputs < 2:
            yield "client.name: 'fedgkt' exchanges scores of classes; take data with classes"
        if setup.scenario.model.others:
            yield (
                "model.others: the server's model takes the features of all clients' models, which "
                "are of one architecture in 'fedgkt'; leave the key out, or take 'fedmd'"
            )

    def fit(self, task: LocalTask) -> Fit:
        """Descend on labels and, where there are any, on the server's scores."""
        scores = task.arrays.get(TAUGHT)
        if scores is None:
            return super().fit(task)
        own = task.examples
        targets = torch.cat([own.targets.unsqueeze(1).float(), scores.view(len(own), -1)], 1)
        taught = replace(task, examples=Examples(own.inputs, targets))
        loss = self.taught(self.criterion(task.task))
        return self.descend(taught, Objective(loss, self.parameter_terms(task)), self.steps(task))

    def taught(self, criterion: TaskLoss) -> TaskLoss:
        """Return the loss against targets (B, 1 + classes): a label and the server's scores."""
        weight, temperature = self.settings.server_weight, self.settings.temperature

        def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            by_label = criterion(outputs, targets[:, 0].long())
            return by_label + weight * soft_divergence(targets[:, 1:], outputs, temperature)

        return loss

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return features, scores and labels of the client's examples, each as one vector."""
        scores, features = _seen(task, task.examples)
        _, tested = _seen(task, task.validation)
        return {
            "features": features.flatten(),
            "scores": scores.flatten(),
            "labels": task.examples.targets.float(),
            "test-features": tested.flatten(),
            "test-labels": task.validation.targets.float(),
        }


@torch.no_grad()
def _seen(task: LocalTask, examples: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores (N, classes) and what enters the last layer (N, features)."""
    task.network.evaluation_mode()
    found = [
        represented(task.network, task.prepare(examples.inputs[start : start + ROWS_PER_BATCH]))
        for start in range(0, len(examples), ROWS_PER_BATCH)
    ]
    if not found:
        return torch.empty(0, device=task.device), torch.empty(0, device=task.device)
    scores = torch.cat([outputs for outputs, _ in found])
    return scores, torch.cat([entered.flatten(1) for _, entered in found])
