"""The client of agnostic federated learning also reports the loss of the received weights."""

from __future__ import annotations

from typing import ClassVar

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.registry import clients
from fedlab.training.evaluation import evaluate
from fedlab.training.task import LocalTask, Update


@clients.register("afl")
class Afl(ClientAlgorithm):
    """AFL's client: also reports the loss of the weights it received (Mohri et al. 2019, ICML).

    Lₖ(wᵗ), from which the server updates λ, is the mean over all of the client's training examples,
    as metric ``received_loss``. Training is supervised.
    """

    required_strategy: ClassVar[str | None] = "afl"

    def train(self, task: LocalTask) -> Update:
        """Evaluate the received weights, then train."""
        loss = evaluate(
            task.network, task.examples, task.task, task.prepare, self.criterion(task.task)
        ).compute()["loss"]
        update = super().train(task)
        update.metrics["received_loss"] = loss
        return update
