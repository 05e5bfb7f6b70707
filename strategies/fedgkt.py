"""FedGKT's server: a large model that learns from the clients' features (He et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from pydantic import Field
from torch import nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from fedlab.algorithm.soft_targets import soft_divergence
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    record_of,
)
from fedlab.models.zoo.mlp import dense_layers
from fedlab.process import torch_threads
from fedlab.registry import strategies
from fedlab.wire.protocol import LENGTHS_DIFFER


class FedGktSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for FedGKT."""

    name: str = "fedgkt"
    weighting: Literal["clients"] = Field("clients", description="no weights are averaged")
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (512, 256), description="sizes of the hidden layers of the server's model"
    )
    epochs: int = Field(5, ge=1, le=10_000, description="over all clients' features, a round")
    batch_size: int = Field(64, ge=2, description="examples per step")
    rate: float = Field(1e-3, gt=0, le=1, description="Adam's learning rate")
    temperature: float = Field(3.0, gt=0, le=100, description="T: how soft scores are made")
    client_weight: float = Field(
        1.0, ge=0, le=100, description="what the clients' scores weigh beside the labels"
    )


@strategies.register("fedgkt")
class FedGkt(VectorStrategy):
    """FedGKT: a large model on the server, small ones on clients (He et al. 2020, NeurIPS).

    "Group Knowledge Transfer: Federated Learning of Large CNNs at the Edge", Algorithm 1 and
    equations 4 and 7. The server's model f_s takes the features H that clients' models give to
    their last layer; over all clients' examples of a round it descends

        CE(σ(f_s(H)), y) + w · T² KL(σ(z_k / T) ‖ σ(f_s(H) / T))

    with z_k the client's own scores, by Adam. Then each client's examples are scored, z_s, for the
    client to learn from when it next takes part (client ``fedgkt``). f_s has hidden layers with
    batch norm, where the paper's is a deep CNN on feature maps.

    What the run records as "server_accuracy" is that of f_s behind the clients' models, on their
    validation examples: the paper's final model.

    Attributes:
        weights: The server's model as one vector, its running statistics last; None at first.
        scores: z_s by the client's node, flat.
        accuracy: The last round's server_accuracy.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedGktSettings
    traits = Traits(client="fedgkt")
    settings: FedGktSettings

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.weights: Vector | None = None
        self.scores: dict[str, Vector] = {}
        self.accuracy = float("nan")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message per client of the cohort, with the scores of its own examples."""
        config[LENGTHS_DIFFER] = True
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for message in messages:
            scores = self.scores.get(str(message.metadata.dst_node_id))
            if scores is not None:
                message.content = message.content.copy()
                message.content["server-scores"] = record_of(scores)
        return messages

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Train the server's model, and score each client's examples; no weights change."""
        classes = self.context.task.outputs
        parts = [_Part(reply, classes) for reply in replies]
        with torch_threads(1):
            model = self._model(parts[0].features.shape[1], classes)
            self._train(model, parts)
            model.eval()
            with torch.no_grad():
                for reply, part in zip(replies, parts, strict=True):
                    scores = model(part.features)
                    self.scores[str(reply.client)] = scores.flatten().numpy()
                self.accuracy = _accuracy(model, parts)
        reached = [parameters_to_vector(model.parameters()).detach(), *_floats(model)]
        self.weights = torch.cat(reached).numpy()
        return weights

    def record(self) -> dict[str, Any]:
        """Return the accuracy of the server's model behind the clients'."""
        return {} if np.isnan(self.accuracy) else {"server_accuracy": self.accuracy}

    def _model(self, features: int, classes: int) -> nn.Module:
        """Return the server's model as the last round left it, or a new one."""
        hidden = self.settings.hidden
        layers = dense_layers(features, hidden, "relu", batch_norm=True)
        model = nn.Sequential(layers, nn.Linear(hidden[-1] if hidden else features, classes))
        if self.weights is not None:
            vector = torch.from_numpy(np.array(self.weights))
            count = sum(p.numel() for p in model.parameters())
            vector_to_parameters(vector[:count].clone(), model.parameters())
            for statistics in _floats(model):
                statistics.copy_(vector[count : count + len(statistics)])
                count += len(statistics)
        return model

    def _train(self, model: nn.Module, parts: Sequence[_Part]) -> None:
        """Descend on all clients' features, drawn pass by pass."""
        settings = self.settings
        features, labels, scores = (
            torch.cat([getattr(part, name) for part in parts])
            for name in ("features", "labels", "scores")
        )
        adam = torch.optim.Adam(model.parameters(), settings.rate)
        model.train()
        for _ in range(settings.epochs):
            for rows in torch.split(torch.randperm(len(labels)), settings.batch_size):
                if len(rows) < 2:  # batch norm has no variance of one
                    continue
                adam.zero_grad()
                loss = self.loss(model(features[rows]), labels[rows], scores[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()

    def loss(
        self, outputs: torch.Tensor, labels: torch.Tensor, scores: torch.Tensor
    ) -> torch.Tensor:
        """Return what the server's model descends, given the clients' scores."""
        by_label = functional.cross_entropy(outputs, labels)
        settings = self.settings
        return by_label + settings.client_weight * soft_divergence(
            scores, outputs, settings.temperature
        )


class _Part:
    """What one client sent, as tensors."""

    def __init__(self, reply: Reply, classes: int) -> None:
        arrays = {name: torch.tensor(vector) for name, vector in reply.arrays.items()}
        self.labels, self.tested = arrays["labels"].long(), arrays["test-labels"].long()
        self.features = arrays["features"].view(len(self.labels), -1)
        self.scores = arrays["scores"].view(len(self.labels), classes)
        self.test_features = arrays["test-features"].view(-1, self.features.shape[1])


def _accuracy(model: nn.Module, parts: Sequence[_Part]) -> float:
    """Return the part of the clients' validation examples that a model is right about."""
    tested = torch.cat([part.tested for part in parts])
    if not len(tested):
        return float("nan")
    found = model(torch.cat([part.test_features for part in parts])).argmax(1)
    return float((found == tested).float().mean())


def _floats(model: nn.Module) -> list[torch.Tensor]:
    """Return a model's running statistics."""
    return [buffer for buffer in model.buffers() if buffer.is_floating_point()]
