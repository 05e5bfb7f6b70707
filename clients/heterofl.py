"""HeteroFL's client: it trains as wide a part of the model as it can (Diao et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.models.narrow import Width
from fedlab.models.network import Network
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import Arrays, LocalTask, Update
from fedlab.training.terms import Objective, TaskLoss


class HeteroFlSettings(ClientSettings):
    """Keys of ``[client]`` for HeteroFL and FedRolex."""

    name: str = "heterofl"
    widths: tuple[Width, ...] = Field(
        (1.0, 0.5, 0.25, 0.125, 0.0625),
        min_length=1,
        description="how wide the clients' models are, in turn: client i has the i-th of these "
        "parts of the units of each hidden layer, then from the first again",
    )
    scaler: bool = Field(
        True,
        description="divide what a narrower model's hidden layers put out by its width while it "
        "is trained, so that it is as large as that of the whole model",
    )
    masked_loss: bool = Field(
        True,
        description="let classes of which a client has no example be left alone by it: their "
        "scores count as 0 in its loss, and its rows of the last layer in no mean",
    )


@clients.register("heterofl")
class HeteroFL(ClientAlgorithm):
    """HeteroFL: a model as wide as the client can train (Diao et al. 2021, ICLR).

    "HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous
    Clients", section 3. The client's model is really narrower: it takes the time, the memory and
    the bytes of its size. Hidden layers put out y / p while a client of width p trains (Scaler);
    scores of classes that it has not are 0 in its loss (Masking Trick). Batch norm normalises by
    the batch while it is trained, as ever.

    With strategy ``heterofl`` clients have the first units of each layer, with ``fedrolex`` others
    in each round. In federated evaluation a client's own model is measured, scaled as in training:
    the server's whole model needs no scale, as the paper says, and a narrower one was trained so.
    """

    Settings: ClassVar[type[ClientSettings]] = HeteroFlSettings
    settings: HeteroFlSettings

    @property
    def widths(self) -> tuple[float, ...]:
        """Return the widths of the clients' models, in turn."""
        return self.settings.widths

    def train(self, task: LocalTask) -> Update:
        """Train the client's own model, with scaled layers."""
        with self._scaled(task):
            return super().train(task)

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the client's own model, with scaled layers."""
        with self._scaled(task):
            return super().evaluate(task)

    @contextmanager
    def _scaled(self, task: LocalTask) -> Iterator[None]:
        """Let a client's layers be scaled inside the block, where the settings say so."""
        width = self.width_of(task.client) if self.settings.scaler else 1.0
        with task.network.model.as_written(), scaled(task.network, width):
            yield

    def width_of(self, client: int) -> float:
        """Return the width of a client's model."""
        return self.settings.widths[client % len(self.settings.widths)]

    def objective(self, task: LocalTask) -> Objective:
        """Return the local objective, in which the scores of absent classes are 0."""
        objective, present = super().objective(task), self.present(task)
        if present is None or bool(present.all()):
            return objective
        loss = masked(objective.criterion, present)
        return Objective(loss, objective.parameter_terms, objective.batch_terms)

    def present(self, task: LocalTask) -> torch.Tensor | None:
        """Return (classes,) which classes the client has; None where it does not say."""
        if not self.settings.masked_loss or task.task.kind != "classification":
            return None
        counts = torch.bincount(task.examples.targets.long(), minlength=task.task.outputs)
        return counts > 0

    def sent(self, task: LocalTask, fitted: Fit) -> Arrays:
        """Return which classes the client has, where the others do not count."""
        present = self.present(task)
        return {} if present is None else {"classes": present.float()}


def masked(criterion: TaskLoss, present: torch.Tensor) -> TaskLoss:
    """Return a task loss for which the scores of classes that are not present are 0."""

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return criterion(outputs.masked_fill(~present, 0.0), targets)

    return loss


@contextmanager
def scaled(network: Network, width: float) -> Iterator[None]:
    """Divide, inside the block, what hidden layers put out by a width.

    Args:
        network: Of which all convolutions and dense layers but the last are hidden.
        width: 1 leaves them as they are.
    """

    def scaler(module: nn.Module, inputs: Any, outputs: torch.Tensor) -> torch.Tensor:
        return outputs / width

    with ExitStack() as hooks:
        for name, module in network.model.module.named_modules():
            is_head = name == network.head or name.startswith(f"{network.head}.")
            if width < 1 and isinstance(module, nn.Linear | nn.Conv2d) and not is_head:
                hooks.callback(module.register_forward_hook(scaler).remove)
        yield
