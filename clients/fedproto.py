"""FedProto: prototypes of classes travel instead of weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from fedlab.algorithm.client import ClientAlgorithm, PersonalPart, of_global_model
from fedlab.data.dataset import Examples, Task
from fedlab.errors import FedlabError
from fedlab.metrics.evaluation import Evaluation
from fedlab.models.representation import entering_head, represented
from fedlab.registry import clients
from fedlab.training.criterion import Criterion
from fedlab.training.loop import Fit
from fedlab.training.task import Arrays, LocalTask
from fedlab.training.terms import Batch

SUMS, COUNTS = "prototype-sums", "prototype-counts"
PROTOTYPES, KNOWN = "prototypes", "prototypes-known"
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class NearPrototypes:
    """λ Σ_j ‖C_i^(j) − C̄^(j)‖² over the classes j of a batch (Tan et al. 2022, equation 8).

    Attributes:
        strength: λ.
        prototypes: (classes, features) the global prototypes C̄.
        known: (classes,) whether any client has held the class.
        entered: A list of one entry: the head's inputs in the last forward pass, (B, features).
    """

    strength: float
    prototypes: torch.Tensor
    known: torch.Tensor
    entered: list[torch.Tensor]

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the term; C_i^(j) is the mean over the batch's examples of class j."""
        sums, counts = summed_by_class(self.entered[0], batch.targets, len(self.prototypes))
        classes = (counts > 0) & self.known
        own = sums[classes] / counts[classes].unsqueeze(1)
        return self.strength * (own - self.prototypes[classes]).square().sum()


@clients.register("fedproto")
class FedProto(ClientAlgorithm):
    """FedProto: clients share the mean representation of each class (Tan et al. 2022, AAAI).

    "FedProto: Federated Prototype Learning across Heterogeneous Clients", Algorithm 1. With f_i(x)
    the input of the head of client i's model, its prototype of class j is C_i^(j), the mean of
    f_i(x) over its examples of the class (equation 3). It descends

        cross-entropy + λ Σ_j d(C_i^(j), C̄^(j))        (equations 7 and 8, C_i^(j) of the batch)

    with λ and the global prototypes C̄ of the strategy "fedproto", from the second round on, and
    the squared Euclidean distance d. (The paper names L2, L1 and others; the authors' code takes
    the mean square of f_i(x) − C̄^(y) over examples and features, and so a λ of another scale.) The
    whole model is the client's own (``model.personal = "all"``); what it sends of each class is
    the sum of the f_i(x) and their number, so that the server's mean is one over examples.

    "accuracy" is that of the client's own model. No global model exists: "global_accuracy" is that
    of the class whose global prototype, as last received, is nearest to f_i(x).
    """

    personal_part: ClassVar[PersonalPart] = "all"
    required_strategy_key: ClassVar[str | None] = "prototype_attraction"
    required_strategy: ClassVar[str | None] = "fedproto"
    couples_examples: ClassVar[bool] = True

    def criterion(self, task: Task) -> Criterion:
        """Return the task loss.

        Raises:
            FedlabError: If the task has no classes.
        """
        if task.kind != "classification":
            raise FedlabError(
                f"client.name: 'fedproto' has a prototype for each class, and the data set's task "
                f"is {task.kind}; take a data set with classes"
            )
        return super().criterion(task)

    def fit(self, task: LocalTask) -> Fit:
        """Descend task loss and the prototypes' term, recording the inputs of the head."""
        objective = self.objective(task)
        with entering_head(task.network) as entered:
            if PROTOTYPES in task.arrays:
                strength = float(task.config["prototype-attraction"])
                near = NearPrototypes(strength, *_prototypes(task.arrays), entered)
                objective = replace(objective, batch_terms=[*objective.batch_terms, near])
            return self.descend(task, objective, self.steps(task))

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return the sums of representations by class, (classes × features,), and numbers."""
        sums, counts = sums_by_class(task)
        return {SUMS: sums.flatten(), COUNTS: counts}

    def kept(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return the global prototypes to keep, which evaluation uses."""
        return task.state | {n: task.arrays[n] for n in (PROTOTYPES, KNOWN) if n in task.arrays}

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the client's own model, and of the nearest global prototype."""
        own = self.measured(task)
        if PROTOTYPES not in task.state:
            return own | of_global_model(own)
        prototypes, known = _prototypes(task.state)
        evaluation, criterion = Evaluation(task.task), self.criterion(task.task)
        for representations, targets in representations_of(task, task.validation):
            outputs = -torch.cdist(representations, prototypes).square()
            outputs[:, ~known] = outputs.min() - 1
            if task.task.outputs == 1:
                outputs = outputs[:, 1:] - outputs[:, :1]
            loss = criterion(outputs, targets).item()
            evaluation.update(outputs, targets, loss * len(targets), len(targets))
        return own | of_global_model(evaluation.compute())


@torch.no_grad()
def representations_of(
    task: LocalTask, examples: Examples
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the head's inputs (B, features) and the targets (B,) of examples, in batches."""
    task.network.evaluation_mode()
    for start in range(0, len(examples), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        _, entered = represented(task.network, task.prepare(examples.inputs[rows]))
        yield entered, examples.targets[rows]


def sums_by_class(task: LocalTask) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sums (classes, features) of a client's representations, and the numbers."""
    parts = [
        summed_by_class(representations.flatten(1), targets, task.task.classes)
        for representations, targets in representations_of(task, task.examples)
    ]
    sums, counts = (torch.stack(part).sum(0) for part in zip(*parts, strict=True))
    return sums, counts


def summed_by_class(
    representations: torch.Tensor, targets: torch.Tensor, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sums (classes, features) of representations (B, features) and the numbers."""
    of_class = torch.nn.functional.one_hot(targets, classes).to(representations.dtype)
    return of_class.T @ representations, of_class.sum(0)


def _prototypes(arrays: Arrays) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the prototypes (classes, features) and which classes have one."""
    known = arrays[KNOWN] > 0
    return arrays[PROTOTYPES].view(len(known), -1), known
