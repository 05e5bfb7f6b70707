"""Compiling a worker's networks: ``engine.compile``."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from fedlab import seeding
from fedlab.data.federation import Federation
from fedlab.engine.worker.architectures import Architecture
from fedlab.errors import FedlabError, described, one_line
from fedlab.scenario import Scenario
from fedlab.training.draw import build_draw, merged

PURPOSE = "compilation"
LONGEST_REASON = 300


def compile_networks(
    architectures: Iterable[Architecture], scenario: Scenario, federation: Federation
) -> None:
    """Compile networks, and let them compute a batch for training and one for evaluation.

    Compiling happens when a network is first called. Done here, it is part of no client's time,
    what fails is known before the first round, and every worker's first batch has the same size.

    Args:
        architectures: The networks, on their device.
        scenario: The scenario.
        federation: The data, on the networks' device.

    Raises:
        FedlabError: If a network cannot be compiled.
    """
    examples = federation.examples(federation.partition.present_client)[0]
    size = min(scenario.client.batch_size, len(examples))
    draw = build_draw(federation.dataset.task)
    for architecture in architectures:
        network = architecture.network
        network.model.compile()
        prepared = architecture.prepare(examples.inputs_at(slice(size)))
        inputs = merged(draw(prepared, examples.targets[:size])[0], draw.views)
        weights = network.model.weights.clone()
        try:
            with seeding.scope(scenario.seed, PURPOSE):
                network.train_mode()
                network.model.call(inputs).sum().backward()  # type: ignore[no-untyped-call]
                network.evaluation_mode()
                with torch.no_grad():
                    network.model.call(inputs)
        except FedlabError:
            raise
        except Exception as error:
            reason = one_line(described(error), LONGEST_REASON)
            raise FedlabError(
                f"engine.compile: torch cannot compile '{scenario.model.name}' for "
                f"'{network.model.device}' ({reason}); set false"
            ) from error
        network.model.weights.copy_(weights)
        network.model.zero_gradient()
