"""FedMD's client: its own model learns from others' scores on public examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings, PersonalPart
from fedlab.algorithm.setup import Setup
from fedlab.data.dataset import Examples, Task
from fedlab.errors import FedlabError
from fedlab.metrics.names import BEFORE
from fedlab.registry import clients
from fedlab.training.criterion import Criterion
from fedlab.training.evaluation import predict
from fedlab.training.loop import Fit, Steps, fit
from fedlab.training.task import Arrays, LocalTask, Update
from fedlab.training.terms import Objective

ROWS, SCORES = "public-rows", "scores"
CONSENSUS, CONSENSUS_ROWS = "consensus", "consensus-rows"
START = "before-collaboration"
"""Name, in a client's state, of the model after transfer learning."""


class FedMdSettings(ClientSettings):
    """Keys of ``[client]`` for FedMD."""

    name: str = "fedmd"
    public_epochs: int = Field(
        10, ge=0, description="transfer learning: epochs on the labelled public examples"
    )
    private_epochs: int = Field(
        20,
        ge=0,
        description="transfer learning: epochs on the client's own examples after that, fewer "
        "with early_stopping",
    )
    digest_epochs: int = Field(
        1, ge=0, description="Digest: epochs a round towards the consensus; 0: clients stay alone"
    )
    public_batch_size: int = Field(128, ge=2, description="public examples per step")


@clients.register("fedmd")
class FedMd(ClientAlgorithm):
    """FedMD: clients with models of any kind exchange class scores (Li and Wang 2019, arXiv).

    "FedMD: Heterogenous Federated Learning via Model Distillation", Algorithm 1. In its first round
    a client learns the public examples with their labels, then its own (Transfer learning); in
    later ones it approaches the consensus f̃ on the public subset, by the mean absolute difference
    of the scores as the authors' code does (Digest), then trains ``epochs`` on its own examples
    (Revisit). After either it sends f_k on the next subset (Communicate). Scores are the outputs
    before the softmax. A client that joins later first learns alone, then digests like the others.

    Transfer learning takes a fixed number of epochs where the paper says "to convergence";
    ``early_stopping`` ends the epochs on own examples. Public classes are identified by number:
    those of another data set share outputs with the clients' own, where the paper has outputs for
    both.

    The whole model is the client's own (``model.personal = "all"``), and of an architecture of its
    own with ``model.others``. "accuracy" is that of its model, "before_accuracy" that of the model
    that it had before any collaboration.
    """

    Settings: ClassVar[type[ClientSettings]] = FedMdSettings
    settings: FedMdSettings
    personal_part: ClassVar[PersonalPart] = "all"
    required_strategy: ClassVar[str | None] = "fedmd"

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if clients cannot learn the public examples' labels first."""
        yield from super().objections(setup)
        public, classes = setup.federation.public, setup.task.classes
        if public is None or not self.settings.public_epochs:
            return
        if public.targets.is_floating_point() or int(public.targets.max()) >= classes:
            yield (
                f"data.public.name: '{setup.scenario.data.public.name}' has other labels than "
                f"classes 0 to {classes - 1}, which clients learn first; set "
                "client.public_epochs = 0"
            )

    def criterion(self, task: Task) -> Criterion:
        """Return the task loss.

        Raises:
            FedlabError: If the task has no classes.
        """
        if task.kind != "classification":
            raise FedlabError(
                "client.name: 'fedmd' exchanges scores of classes, and the data set's task is "
                f"{task.kind}; take a data set with classes"
            )
        return super().criterion(task)

    def train(self, task: LocalTask) -> Update:
        """Learn alone in the first round, from the consensus in later ones; send scores."""
        fitted = self.transfer(task) if START not in task.state else None
        metrics = {"digest_loss": self.digest(task).loss} if CONSENSUS in task.arrays else {}
        if metrics or fitted is None:
            fitted = fit(task, self.objective(task), self.steps(task))
        update = self.update(task, fitted)
        update.metrics.update(metrics)
        return update

    def transfer(self, task: LocalTask) -> Fit:
        """Train on the public examples, then on the client's own; keep the result."""
        public = replace(task, examples=_public(task))
        settings = self.settings
        steps = self._passes(task, settings.public_epochs, settings.public_batch_size)
        fit(public, self.objective(task), steps)
        steps = self._passes(task, settings.private_epochs, int(settings.batch_size))
        fitted = self.descend(task, self.objective(task), steps)
        task.state[START] = task.network.model.personal()
        return fitted

    def digest(self, task: LocalTask) -> Fit:
        """Train towards the consensus on its public examples, which are not augmented."""
        examples = _public(task, task.arrays[CONSENSUS_ROWS])
        wanted = task.arrays[CONSENSUS].view(len(examples), -1)
        digested = replace(task, examples=Examples(examples.inputs, wanted), augment=None)
        settings = self.settings
        steps = self._passes(task, settings.digest_epochs, settings.public_batch_size)
        return fit(digested, Objective(functional.l1_loss, self.parameter_terms(task)), steps)

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return the class scores of the requested public examples, (S × outputs,)."""
        inputs = _public(task, task.arrays[ROWS]).inputs
        return {SCORES: predict(task.network, inputs, task.prepare).flatten()}

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the client's model, and of its model before collaboration."""
        own = self.measured(task)
        start = task.state.get(START)
        if start is None:
            return own | _before(own)
        task.network.model.weights.copy_(start)
        return own | _before(self.measured(task))

    def _passes(self, task: LocalTask, epochs: int, batch_size: int) -> Steps:
        """Return a training plan of so many epochs, with an optimiser of its own."""
        return replace(self.steps(task), epochs=epochs, limit=None, batch_size=batch_size)


def _public(task: LocalTask, rows: torch.Tensor | None = None) -> Examples:
    """Return public examples, all or those of ``rows``, which travel as float32."""
    assert task.public is not None
    return task.public if rows is None else task.public.take(rows.long())


def _before(metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"{BEFORE}{name}": value for name, value in metrics.items()}
