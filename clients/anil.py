"""ANIL: MAML whose adaptation changes the head alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from clients.fedmeta import FedMeta, FedMetaSettings
from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.setup import Setup
from fedlab.registry import clients
from fedlab.training.task import LocalTask


class AnilSettings(FedMetaSettings):
    """Keys of ``[client]`` for ANIL."""

    name: str = "anil"


@clients.register("anil")
class Anil(FedMeta):
    """ANIL: the head is adapted, all is meta-learned (Raghu et al. 2020, ICLR).

    "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML", section 4:
    MAML whose inner steps change the head's weights alone, in training and at test time; the outer
    gradient is of all weights.
    """

    Settings: ClassVar[type[ClientSettings]] = AnilSettings
    settings: AnilSettings

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if the head is not trained."""
        yield from super().objections(setup)
        network = setup.network
        if not any(entry.name.startswith(network.head) for entry, _ in network.model.trained):
            yield (
                "client.name: 'anil' adapts the head, and nothing of it is trained; change "
                "model.trainable"
            )

    def adapted_part(self, task: LocalTask) -> torch.Tensor:
        """Return (P,) 1 for the head's weights and 0 for all others."""
        model, head = task.network.model, task.network.head
        part, offset = torch.zeros_like(model.parameter.data), model.layout.trained.start
        for entry, _ in model.trained:
            if entry.name.startswith(head):
                part[entry.place(offset)] = 1.0
        return part
