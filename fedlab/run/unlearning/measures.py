"""What a model knows of forgotten clients, and how near it is to one that never saw them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from fedlab.data.dataset import Examples
from fedlab.data.transforms import Preparation
from fedlab.engine.inline import InlineEngine
from fedlab.metrics.evaluation import Evaluation
from fedlab.models.network import Network
from fedlab.run.simulation import Simulation
from fedlab.training.evaluation import ROWS_PER_BATCH, evaluate, predict, probabilities_of
from fedlab.training.task import Assignment

Vector = np.ndarray[Any, np.dtype[Any]]
Measures = dict[str, float]


class Measured:
    """A model, measured on the test set and on what the forgotten clients trained on.

    Args:
        simulation: The run, in this process.
        weights: (wire_size,) the model's.
        gone: The forgotten clients.
        server_round: The round as of which data are looked at.

    Attributes:
        weights: The model's.
        test: Metrics on the server's test set, a trigger's success among them.
        forgotten: Metrics on the forgotten clients' training examples, as they trained on them:
            poisoned where they attack. "membership" is the AUC of telling them from the test
            examples by their smaller loss (Yeom et al. 2018's attack at every threshold).
        probabilities: (N, classes) on the test set; None where classes are not what is learned.
    """

    def __init__(
        self,
        simulation: Simulation,
        weights: torch.Tensor,
        gone: Collection[int],
        server_round: int,
    ) -> None:
        engine = simulation.engine
        assert isinstance(engine, InlineEngine)
        self.weights = weights
        self.test: Measures = {}
        self.forgotten: Measures = {}
        self.probabilities: torch.Tensor | None = None
        worker, task = engine.worker, simulation.federation.dataset.task
        classifies = task.kind == "classification"
        whole, losses = Evaluation(task), []
        for client in sorted(gone):
            with worker.local_task(Assignment(client, server_round, weights)) as own:
                criterion = worker.algorithm.criterion(task)
                found = evaluate(own.network, own.examples, task, own.prepare, criterion)
                whole.merge(found.state())
                if classifies and len(own.examples):
                    outputs = _outputs(own.network, own.examples, own.prepare)
                    losses.append(losses_of(outputs, own.examples.targets))
        self.forgotten = whole.compute()
        size = len(simulation.federation.dataset.test)
        if not size:
            return
        self.test = engine.evaluate(weights, server_round).compute()
        if classifies:
            worker.network.model.reset(weights.to(worker.device))
            test = worker.federation.test_in(0, size, server_round)
            self.probabilities = _outputs(worker.network, test, worker.prepare)
            if losses:
                others = losses_of(self.probabilities, test.targets)
                self.forgotten["membership"] = auc(-np.concatenate(losses), -others)

    def against(self, oracle: Measured) -> Measures:
        """Return how near the model is to the one that has never seen the forgotten clients."""
        distance = torch.linalg.vector_norm(self.weights.double() - oracle.weights.double())
        found = {"distance": float(distance)}
        if self.probabilities is not None and oracle.probabilities is not None:
            same = self.probabilities.argmax(1) == oracle.probabilities.argmax(1)
            found["agreement"] = float(same.float().mean())
            found["divergence"] = divergence(oracle.probabilities, self.probabilities)
        return found


@torch.no_grad()
def _outputs(network: Network, examples: Examples, prepare: Preparation) -> torch.Tensor:
    """Return (N, classes) the probabilities of the examples' classes, on the CPU."""
    starts = range(0, len(examples), ROWS_PER_BATCH)
    stored = examples.each_inputs(slice(start, start + ROWS_PER_BATCH) for start in starts)
    found = [probabilities_of(predict(network, inputs, prepare)).cpu() for inputs in stored]
    return torch.cat(found).double()


def losses_of(probabilities: torch.Tensor, targets: torch.Tensor) -> Vector:
    """Return (N,) −log p of each example's class.

    Args:
        probabilities: (N, classes).
        targets: (N,).
    """
    own = probabilities.gather(1, targets.cpu().view(-1, 1)).flatten()
    return np.asarray(-own.clamp(min=1e-300).log().numpy())


def divergence(wanted: torch.Tensor, found: torch.Tensor) -> float:
    """Return the mean of KL(wanted ‖ found) in nats, over rows of probabilities."""
    least = 1e-300
    logs = wanted.clamp(min=least).log() - found.clamp(min=least).log()
    return float((wanted * logs).sum(1).mean())


def auc(members: Vector, others: Vector) -> float:
    """Return the probability that a member's score is above another's, ties counting half."""
    from sklearn.metrics import roc_auc_score

    is_member = np.repeat([1, 0], [len(members), len(others)])
    return float(roc_auc_score(is_member, np.concatenate([members, others])))
