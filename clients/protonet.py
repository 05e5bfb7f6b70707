"""Prototypical networks: the class whose mean representation is nearest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from clients.fedproto import representations_of, summed_by_class, sums_by_class
from clients.meta_learning import MetaLearner, MetaSettings
from fedlab.algorithm.client import ClientSettings, of_global_model
from fedlab.algorithm.setup import Setup
from fedlab.metrics.evaluation import Evaluation
from fedlab.models.representation import represented
from fedlab.registry import clients
from fedlab.training.episodes import Episode
from fedlab.training.task import LocalTask


class ProtoNetSettings(MetaSettings):
    """Keys of ``[client]`` for prototypical networks; those of adapting steps have no effect."""

    name: str = "protonet"


@clients.register("protonet")
class ProtoNet(MetaLearner):
    """Prototypical networks: learn distances, adapt without a step (Snell et al. 2017, NeurIPS).

    "Prototypical Networks for Few-shot Learning", equations 1 and 2: with f(x) the input of the
    network's head, the prototype c_k of class k is the mean of f over the support's examples of k,

        p(y = k | x) = softmax_k(−‖f(x) − c_k‖²)

    and a client descends the mean of −log p(y | x) over the query. It sends the weights, whose head
    is not trained; any strategy can be used. Wherever a client is evaluated, the prototypes are
    those of its own training examples: no step is taken, however many are asked for.
    """

    Settings: ClassVar[type[ClientSettings]] = ProtoNetSettings
    settings: ProtoNetSettings

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if the task has no classes."""
        yield from super().objections(setup)
        if setup.task.kind != "classification":
            yield (
                "client.name: 'protonet' has a prototype for each class, and the data set's task "
                f"is {setup.task.kind}; take a data set with classes"
            )

    def notes(self, setup: Setup) -> Iterator[str]:
        """Yield what the server's test metrics are of, and which keys do nothing."""
        for key in ("inner_rate", "inner_steps"):
            if getattr(self.settings, key) != ProtoNetSettings.model_fields[key].default:
                yield f"client.{key} has no effect: 'protonet' adapts without a step"
        if setup.scenario.evaluation.unseen_rate is not None:
            yield "evaluation.unseen_rate has no effect: 'protonet' adapts without a step"
        if len(setup.federation.dataset.test):
            yield (
                "client 'protonet' does not train the head, by whose outputs the server's test set "
                "is judged: look at clients' own parts (evaluation.federated, unseen_clients)"
            )

    def outer_gradient(self, task: LocalTask, episode: Episode) -> torch.Tensor:
        """Write the gradient of the query's loss into the model's; return the loss."""
        count = len(episode.support[1])
        _, found = represented(task.network, torch.cat([episode.support[0], episode.query[0]]))
        features = found.flatten(1)
        scores = scores_of(
            features[count:], features[:count], episode.support[1], task.task.classes
        )
        loss = torch.nn.functional.cross_entropy(scores, episode.query[1])
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def adapt(self, task: LocalTask, steps: int, rate: float | None) -> None:
        """Leave the weights as they are: prototypes are computed where they are needed."""

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics by the nearest prototype, and those by the head's outputs."""
        own = self.measured(task)
        return own | of_global_model(super(MetaLearner, self).measured(task))

    @torch.no_grad()
    def measured(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics on the validation part, by prototypes of the training part."""
        sums, counts = sums_by_class(task)
        evaluation = Evaluation(task.task)
        for found, targets in representations_of(task, task.validation):
            scores = _scores(found.flatten(1), sums, counts)
            loss = torch.nn.functional.cross_entropy(scores, targets).item()
            outputs = scores[:, 1:] - scores[:, :1] if task.task.outputs == 1 else scores
            evaluation.update(outputs.cpu(), targets.cpu(), loss * len(targets), len(targets))
        return evaluation.compute()


def scores_of(
    features: torch.Tensor, support: torch.Tensor, targets: torch.Tensor, classes: int
) -> torch.Tensor:
    """Return (n, classes) −‖f(x) − c_k‖², and less than any other for classes without support.

    Args:
        features: (n, features) f(x) of the query.
        support: (m, features) that of the support.
        targets: (m,) the support's classes.
        classes: How many classes there are.
    """
    return _scores(features, *summed_by_class(support, targets, classes))


def _scores(features: torch.Tensor, sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    prototypes = sums / counts.clamp(min=1).unsqueeze(1)
    scores = -(features.unsqueeze(1) - prototypes).square().sum(-1)
    absent = counts == 0
    if not absent.any():
        return scores
    # A finite score: that of a class which no prototype can win for, whatever its distance.
    return scores.masked_fill(absent, float(scores.detach().min()) - 100.0)
