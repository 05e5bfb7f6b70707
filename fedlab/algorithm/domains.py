"""Clients of two kinds, a source with labels and a target without, that align their features.

What they tell each other of their features is one vector each, of which the server hands out the
mean over source clients and that over target clients (strategy "domain-means"). Neither examples
nor features of any travel.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Protocol

import torch

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.training.task import Arrays, LocalTask, Update
from fedlab.training.terms import Batch

SOURCE, TARGET = "domain-source", "domain-target"


class DomainTerm(Protocol):
    """A batch term that aligns features, and gathers what other clients are to know of them."""

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the term's value on a batch, a scalar."""
        ...

    def vector(self) -> torch.Tensor:
        """Return what is told of the round's batches, (n,)."""
        ...


class DomainClient(ClientAlgorithm):
    """Descends task loss + a term that aligns features; without labels, the term alone.

    In a run with clients without labels, those with labels align to the target's mean vector, and
    those without to the source's. Where all have labels (domain generalisation) each aligns to the
    mean over all. In the first round nothing is known of the others yet.
    """

    required_strategy: ClassVar[str | None] = "domain-means"
    learns_without_labels: ClassVar[bool] = True
    couples_examples: ClassVar[bool] = True

    @abstractmethod
    def term(
        self, task: LocalTask, others: torch.Tensor | None, own: torch.Tensor | None
    ) -> DomainTerm:
        """Return the term of a client.

        Args:
            task: The client's task.
            others: The mean vector of the clients that it aligns to; None in the first round.
            own: That of its own kind.
        """

    def train(self, task: LocalTask) -> Update:
        """Train, and return beside the weights what the term has gathered."""
        source, target = task.arrays.get(SOURCE), task.arrays.get(TARGET)
        own, others = (source, target) if task.is_labelled else (target, source)
        term = self.term(task, others if task.has_target else own, own)
        objective = self.objective(task)
        objective = replace(objective, batch_terms=[*objective.batch_terms, term])
        if not task.is_labelled:
            objective = replace(objective, criterion=no_loss)
        update = self.update(task, self.descend(task, objective, self.steps(task)))
        return replace(update, arrays=update.arrays | _as_sent(term.vector(), task.is_labelled))


def no_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return 0, as the task loss of examples without labels."""
    return outputs.sum() * 0


def features_of(batch: Batch) -> torch.Tensor:
    """Return the inputs of the head, (B, features)."""
    return batch.representations.flatten(1)


def _as_sent(vector: torch.Tensor, is_labelled: bool) -> Arrays:
    """Return a vector as an array of its kind, and zeros as that of the other.

    The leading 1 or 0 says whose it is: so weighted sums over all clients hold the sums over
    either kind, and the sums of their weights.
    """
    told = torch.cat([vector.new_ones(1), vector]).float()
    nothing = torch.zeros_like(told)
    return {SOURCE: told, TARGET: nothing} if is_labelled else {SOURCE: nothing, TARGET: told}
