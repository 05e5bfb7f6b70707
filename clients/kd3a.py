"""KD3A's client: the models of source domains vote on what the target's examples are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings, PersonalPart
from fedlab.algorithm.setup import Setup
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.registry import clients
from fedlab.training.criterion import Criterion
from fedlab.training.evaluation import predict, probabilities_of
from fedlab.training.loop import Fit
from fedlab.training.task import Arrays, LocalTask
from fedlab.training.terms import Objective

CONSENSUS = "consensus"
UNDECIDED = 0.001
"""Weight of an example on which no model is confident (the paper's, below equation 3)."""


class Kd3aSettings(ClientSettings):
    """Keys of ``[client]`` for KD3A."""

    gate_first: float = Field(
        0.9, ge=0, lt=1, description="confidence that a vote needs in the first round"
    )
    gate_last: float = Field(
        0.95, ge=0, lt=1, description="confidence that it needs in the last; between, on a line"
    )


@clients.register("kd3a")
class Kd3a(ClientAlgorithm):
    """KD3A: source models vote, and the target learns their consensus (Feng et al. 2021, ICML).

    "KD3A: Unsupervised Multi-Source Decentralized Domain Adaptation via Knowledge Distillation",
    section 3. Clients with labels are the source domains, and descend their task loss. A client
    without gets the models q^k that the sources reached in the last round, and lets them vote on
    each of its examples X (*knowledge vote*):

        1. votes with max q^k(X) below the gate are left out;
        2. of the others, added up, the largest class is the consensus, and votes for another class
           are left out, too;
        3. p is the mean of the n votes left; where none is left p is that of all, and n = 0.001.

    It descends the mean of n · KL(p ‖ q(X)) (equation 4) and sends the quality
    Q(S) = Σ_X n max p of the consensus (equation 5), of all sources and without each of them.
    Votes are on examples as they are stored, and what learns from them sees them augmented. The
    paper lets sources train and vote within a round; here both kinds of clients train at once, so
    that votes are one round old. The authors' code mixes target examples up, which
    ``[data.augmentation]`` leaves out for examples without labels.

    Models of single sources reach every client of the next round.
    """

    Settings: ClassVar[type[ClientSettings]] = Kd3aSettings
    settings: Kd3aSettings
    required_strategy: ClassVar[str | None] = "kd3a"
    personal_part: ClassVar[PersonalPart] = "none"
    learns_without_labels: ClassVar[bool] = True

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence where there is no target domain."""
        yield from super().objections(setup)
        if not setup.federation.unlabelled:
            yield (
                "client.name: 'kd3a' lets clients with labels vote for those without, and all have "
                "some; name the target's in data.unlabelled"
            )

    def criterion(self, task: Task) -> Criterion:
        """Return the task loss.

        Raises:
            FedlabError: If the task has no classes.
        """
        if task.kind != "classification":
            raise FedlabError(
                f"client.name: 'kd3a' votes on classes, and the data set's task is {task.kind}; "
                "take a data set with classes"
            )
        return super().criterion(task)

    def fit(self, task: LocalTask) -> Fit:
        """Descend the task loss or, without labels, the distance from the consensus."""
        if task.is_labelled:
            return super().fit(task)
        votes = self._votes(task)
        if not len(votes):
            return Fit(0, 0, 0.0)
        consensus, supporters = vote(votes, self.gate(task))
        targets = torch.cat([consensus, supporters[:, None]], 1)
        own = replace(task, examples=task.examples.with_targets(targets))
        objective = Objective(consensus_loss, self.parameter_terms(task), self.batch_terms(task))
        fitted = self.descend(own, objective, self.steps(own))
        task.arrays[CONSENSUS] = qualities(votes, self.gate(task))
        return fitted

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return whether this is a target, Q(S), and Q(S without k) for each source k.

        A source sends zeros: replies of one round have one form.
        """
        sources = len(_teachers(task))
        told = torch.zeros(2 + sources)
        if not task.is_labelled:
            told[0] = 1
            if sources:
                told[1:] = task.arrays[CONSENSUS]
        return {CONSENSUS: told}

    def gate(self, task: LocalTask) -> float:
        """Return the confidence that a vote needs in this round."""
        settings = self.settings
        progress = (task.round - task.first_round) / max(task.rounds - 1, 1)
        return settings.gate_first + progress * (settings.gate_last - settings.gate_first)

    def _votes(self, task: LocalTask) -> torch.Tensor:
        """Return the sources' confidences on the client's examples, (sources, N, classes)."""
        model = task.network.model
        wire = model.weights[model.layout.wire]
        own, votes = wire.clone(), []
        for teacher in _teachers(task):
            wire.copy_(teacher)
            outputs = predict(task.network, task.examples.inputs, task.prepare)
            votes.append(probabilities_of(outputs.float()))
        wire.copy_(own)
        return torch.stack(votes) if votes else torch.empty(0)


def _teachers(task: LocalTask) -> list[torch.Tensor]:
    """Return the weights of the sources' models, (wire_size,) each; none in the first round."""
    found: list[torch.Tensor] = []
    while (vector := task.arrays.get(f"teacher-{len(found)}")) is not None:
        found.append(vector)
    return found


def vote(votes: torch.Tensor, gate: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the consensus p (N, classes), and n (N,) of how many sources it is.

    Args:
        votes: (sources, N, classes) their confidences.
        gate: The least confidence of a vote.
    """
    confidence, classes = votes.max(2)
    confident = confidence >= gate
    consensus = (votes * confident[..., None]).sum(0).argmax(1)
    supports = (confident & (classes == consensus)).to(votes.dtype)
    counts = supports.sum(0)
    supports[:, counts == 0] = 1
    mean = (votes * supports[..., None]).sum(0) / supports.sum(0)[:, None]
    return mean, counts.where(counts > 0, UNDECIDED)


def quality(votes: torch.Tensor, gate: float) -> torch.Tensor:
    """Return Q = Σ n max p, a scalar; that of no source is 0."""
    if not len(votes):
        return votes.new_zeros(())
    consensus, supporters = vote(votes, gate)
    return (supporters * consensus.max(1).values).sum()


def qualities(votes: torch.Tensor, gate: float) -> torch.Tensor:
    """Return Q(S), and Q(S without k) for each source k, (1 + sources,)."""
    others = [torch.cat([votes[:k], votes[k + 1 :]]) for k in range(len(votes))]
    return torch.stack([quality(some, gate) for some in (votes, *others)])


def consensus_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean over a batch of n · KL(p ‖ q).

    Args:
        outputs: (B, outputs) of the model q.
        targets: (B, classes + 1), p and n side by side.
    """
    consensus, supporters = targets[:, :-1], targets[:, -1]
    scores = functional.pad(outputs, (1, 0)) if outputs.shape[1] == 1 else outputs
    apart = functional.kl_div(scores.log_softmax(1), consensus, reduction="none").sum(1)
    return (supporters * apart).mean()
