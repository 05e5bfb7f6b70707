"""Shared by the references: a workload's clients as tensors, and its model as a plain module."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from fedlab import registry, seeding
from fedlab.data.federation import Federation
from fedlab.data.transforms import build_preparation
from fedlab.models.backbones import BackboneSettings, load_backbone
from fedlab.models.selection import BatchNorm
from fedlab.scenario import Scenario, load
from fedlab.scenario.parts import load_federation


@dataclass(frozen=True)
class Work:
    """A workload without federation: model, prepared tensors, clients' rows, settings.

    Attributes:
        module: The model, without fedlab's engine.
        inputs, targets: All clients' examples, prepared for the model.
        parts: (n,) rows of each client.
        test: Prepared test inputs and targets.
        cohort: Clients per round.
        frozen_norms: Whether batch norm rests.
    """

    module: nn.Module
    inputs: torch.Tensor
    targets: torch.Tensor
    parts: list[torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    cohort: int
    rounds: int
    seed: int
    batch_size: int
    rate: float
    frozen_norms: bool = True


def load_work(path: Path, device: str = "cpu") -> Work:
    """Return the work of a scenario file, with all preparation done before the measurement.

    On a card products are computed in float32 throughout, as fedlab does.
    """
    torch.set_num_threads(1)
    scenario: Any = load(str(path))
    federation = load_federation(scenario)
    module, mean, std, channels = _module(scenario, federation)
    task = federation.dataset.task
    size = getattr(scenario.model, "image_size", None)
    prepare = build_preparation(task, channels=channels, mean=mean, std=std, image_size=size)
    train, test = federation.dataset.train, federation.dataset.test
    torch.backends.cudnn.allow_tf32 = False
    parts = [torch.from_numpy(federation.rows(client)[0]) for client in range(len(federation))]
    return Work(
        module.to(device),
        prepare(train.inputs).to(device),
        train.targets.to(device),
        [rows.to(device) for rows in parts],
        (prepare(test.inputs).to(device), test.targets.to(device)),
        max(1, int(len(parts) * scenario.strategy.fraction_train)),
        scenario.rounds,
        scenario.seed,
        scenario.client.batch_size,
        scenario.client.optimizer.lr,
        scenario.model.batch_norm == "frozen",
    )


def _module(
    scenario: Scenario, federation: Federation
) -> tuple[nn.Module, tuple[float, ...] | None, tuple[float, ...] | None, int]:
    settings: Any = scenario.model
    task = federation.dataset.task
    with seeding.scope(scenario.seed, "model"):
        if not isinstance(settings, BackboneSettings):
            module = registry.models.get(settings.name)(settings, task)
            return module, None, None, task.input_shape[0] if task.modality == "image" else 0
        loaded = load_backbone(settings, task)
    if settings.trainable == "head":
        for name, parameter in loaded.module.named_parameters():
            parameter.requires_grad_(name.startswith(loaded.head))
    return loaded.module, loaded.mean, loaded.std, loaded.channels


def train_mode(module: nn.Module, frozen_norms: bool) -> None:
    """Put a module in training mode, except batch norm that the workload freezes."""
    module.train()
    for part in module.modules():
        if frozen_norms and isinstance(part, BatchNorm):
            part.eval()


def train_client(module: nn.Module, work: Work, rows: torch.Tensor) -> None:
    """Train for one epoch of plain SGD, in place."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, work.rate)
    train_mode(module, work.frozen_norms)
    order = torch.randperm(len(rows), device=rows.device)
    for batch in rows[order].split(work.batch_size):
        optimizer.zero_grad()
        loss = functional.cross_entropy(module(work.inputs[batch]), work.targets[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@torch.no_grad()
def accuracy(module: nn.Module, work: Work) -> float:
    """Return the accuracy on the test set."""
    module.eval()
    inputs, targets = work.test
    hits = [
        (module(inputs[start : start + 500]).argmax(-1) == targets[start : start + 500]).sum()
        for start in range(0, len(inputs), 500)
    ]
    return float(torch.stack(hits).sum()) / len(targets)


def report(**line: Any) -> None:
    """Print a line for the measuring process."""
    print(json.dumps(line), flush=True)
