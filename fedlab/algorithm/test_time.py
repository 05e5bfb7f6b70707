"""Clients that adapt a model to the inputs it is tested on: training is as ever, testing is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from fedlab.algorithm.client import ClientAlgorithm, PersonalPart, of_global_model
from fedlab.algorithm.setup import Setup
from fedlab.data.dataset import Examples
from fedlab.models.network import Network
from fedlab.models.selection import BatchNorm
from fedlab.training.evaluation import ROWS_PER_BATCH
from fedlab.training.task import LocalTask

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation


class AdaptingClient(ClientAlgorithm):
    """Trains by labels, and adapts the network to the inputs of whatever it is tested on.

    In federated evaluation "accuracy" is that of the adapted network, and "global_accuracy" that of
    the network as it was received. The server's test examples are adapted to in shards of 1,024.
    """

    personal_part: ClassVar[PersonalPart] = "none"

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence where there is no batch norm to adapt."""
        yield from super().objections(setup)
        if not batch_norms(setup.network):
            name = setup.scenario.client.name
            yield (
                f"client.name: '{name}' adapts batch norm, and '{setup.scenario.model.name}' has "
                "none; take a model with batch norm"
            )

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        """Return the metrics of the adapted network, and of the network as received."""
        received = of_global_model(self.measured(task))
        self.adapt_to_inputs(task.network, task.validation, task.prepare)
        return self.measured(task) | received


def batch_norms(network: Network) -> list[nn.Module]:
    """Return the batch norm layers of a network."""
    return [part for part in network.model.module.modules() if isinstance(part, BatchNorm)]


def batches_of(examples: Examples, prepare: Preparation) -> Iterator[torch.Tensor]:
    """Yield prepared inputs in batches of nearly one size, none of them of one example alone."""
    count = max(1, round(len(examples) / ROWS_PER_BATCH))
    bounds = [len(examples) * place // count for place in range(count + 1)]
    for start, stop in pairwise(bounds):
        if stop - start > 1:
            yield prepare(examples.inputs_at(slice(start, stop)))


@contextmanager
def normalising_by_batch(network: Network) -> Iterator[None]:
    """Let batch norm use the statistics of each batch, and everything else be as in a test."""
    network.evaluation_mode()
    layers = batch_norms(network)
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        network.evaluation_mode()


@torch.no_grad()
def estimate_statistics(network: Network, examples: Examples, prepare: Preparation) -> None:
    """Replace the running statistics of batch norm by means over batches of these inputs."""
    layers = batch_norms(network)
    usual = [layer.momentum for layer in layers]
    try:
        with normalising_by_batch(network):
            for seen, inputs in enumerate(batches_of(examples, prepare)):
                for layer in layers:
                    layer.momentum = 1 / (seen + 1)  # type: ignore[assignment]
                network.model.call(inputs)
    finally:
        for layer, momentum in zip(layers, usual, strict=True):
            layer.momentum = momentum
