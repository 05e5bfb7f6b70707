"""The architectures of a run's clients: one for all, or several that are dealt in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fedlab.data.dataset import Task
from fedlab.data.transforms import Augmentation, Preparation, build_augmentation
from fedlab.engine.numerics import lower_type
from fedlab.models.checkpointing import checkpoint_blocks
from fedlab.models.given import Given
from fedlab.models.network import Network, other_networks
from fedlab.scenario import Scenario
from fedlab.scenario.parts import narrow_networks, network_of, preparation


@dataclass(frozen=True)
class Architecture:
    """A resident network, and what happens to inputs on their way into it.

    Attributes:
        network: The network.
        prepare: Turns stored inputs into what it takes.
        augment: Changes prepared inputs at random while it is trained; None where nothing does.
    """

    network: Network
    prepare: Preparation
    augment: Augmentation | None


def architectures_of(
    scenario: Scenario, task: Task, device: torch.device, given: Sequence[Given | None] = ()
) -> list[Architecture]:
    """Return a scenario's architectures on a device: its model's, then the clients' further ones.

    These are those of ``model.others`` or, where clients' models are narrower, one for each width.

    Args:
        scenario: The scenario.
        task: What is learned.
        device: Where networks lie.
        given: Their first weights, where this machine has no files of them.

    Raises:
        FedlabError: If a model does not fit the task, or its weights are not available.
    """
    model = scenario.model
    first = network_of(scenario, task, given[0] if given else None)
    narrow = narrow_networks(scenario, task)
    built = [
        first,
        *other_networks(model, task, scenario.seed, given[1:]),
        *(network for _, network in narrow),
    ]
    each = (model, *model.others, *(settings for settings, _ in narrow))
    networks = [network.at(device) for network in built]
    for network in networks:
        network.model.lower = lower_type(scenario.engine)
        if getattr(scenario.engine, "checkpointing", False):
            checkpoint_blocks(network)
    if getattr(scenario.client, "l2_sp", 0.0):
        for network in networks:
            network.model.keep_start()
    return [
        _with_inputs(network, settings, scenario, task)
        for network, settings in zip(networks, each, strict=True)
    ]


def _with_inputs(network: Network, settings: Any, scenario: Scenario, task: Task) -> Architecture:
    augment = build_augmentation(scenario.data.augmentation, task, network.mean, network.std)
    return Architecture(network, preparation(network, task, settings), augment)
