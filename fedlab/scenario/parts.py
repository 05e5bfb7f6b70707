"""From a scenario to its parts: data, network, preparation, algorithm, strategy, adversary."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from fedlab import registry, seeding
from fedlab.algorithm.client import ClientAlgorithm
from fedlab.algorithm.public import PublicInputs
from fedlab.algorithm.update_chain import UpdateChain
from fedlab.attacks.adversary import Adversary
from fedlab.attacks.attack import Attack
from fedlab.data.class_counts import with_class_counts
from fedlab.data.dataset import Dataset, Task
from fedlab.data.federation import Federation, split_dataset
from fedlab.data.loaded import load_checked
from fedlab.data.on_device import placed
from fedlab.data.shifted import shifted
from fedlab.data.transforms import Preparation, build_preparation
from fedlab.data.unlabelled import without_labels
from fedlab.errors import FedlabError, FedlabErrors
from fedlab.metrics.evaluation import reporting
from fedlab.models.given import Given
from fedlab.models.layout import Layout
from fedlab.models.narrow import narrowed
from fedlab.models.network import Network, build_network
from fedlab.models.settings import ModelSettings
from fedlab.scenario.phases import phases_of
from fedlab.scenario.schema import Scenario
from fedlab.scenario.site_data import is_of_sites, local_federation
from fedlab.scenario.site_data import objections as site_objections


def load_federation(scenario: Scenario) -> Federation:
    """Load the scenario's data set and split it over clients.

    Raises:
        FedlabError: If the data cannot be had or cannot be split so.
    """
    if is_of_sites(scenario):
        refused = list(site_objections(scenario))
        if refused:
            raise FedlabErrors(refused)
        return posed(scenario, local_federation(scenario))
    return split(scenario, load_dataset(scenario))


def posed(scenario: Scenario, federation: Federation) -> Federation:
    """Return a federation on which the scenario's task is posed, in place of the data's own."""
    task = task_of(scenario, federation.dataset.task)
    return replace(federation, dataset=replace(federation.dataset, task=task))


def split(scenario: Scenario, dataset: Dataset) -> Federation:
    """Split a data set over clients as the scenario says, and pose the scenario's task on it.

    The split may look at the labels of the data set's own task; nothing else does where the
    scenario poses another.

    Raises:
        FedlabError: If it cannot be split so.
    """
    strategy = scenario.strategy
    federation = split_dataset(
        scenario.data,
        dataset,
        scenario.seed,
        scenario.evaluation.test_examples,
        getattr(getattr(strategy, "inner", strategy), "root_examples", 0),
        scenario.evaluation.unseen_clients,
    )
    tables, partition = scenario.data.shift, federation.partition
    if tables and federation.unseen is not None:
        raise FedlabError(
            "data.shift: clients that never train (evaluation.unseen_clients) would stay as they "
            "are; use one of the two keys"
        )
    dataset, drift = shifted(tables, federation.dataset, partition, scenario.seed)
    federation = replace(federation, dataset=dataset, drift=drift)
    return posed(scenario, without_labels(scenario.data.unlabelled, federation))


def task_of(scenario: Scenario, own: Task) -> Task:
    """Return what the scenario lets clients learn.

    Args:
        scenario: The scenario; its ``data.task`` and its client algorithm say what, its
            ``evaluation.metrics`` what is reported of it.
        own: The data set's own task.

    Raises:
        FedlabError: If the data set's inputs cannot be reconstructed, or a metric does not suit.
    """
    task = own if scenario.data.task != "reconstruction" else _reconstruction(own)
    algorithm: ClientAlgorithm = registry.clients.get(scenario.client.name)(scenario.client)
    task = algorithm.learned(task)
    names = scenario.evaluation.metrics
    return reporting(task, names) if names else task


def _reconstruction(own: Task) -> Task:
    """Return the task of giving back the inputs of a data set."""
    if own.modality == "text":
        raise FedlabError(
            "data.task: 'reconstruction' compares numbers, and this data set holds text; take one "
            "of pictures, series or tables"
        )
    values = math.prod(own.input_shape)
    return Task("reconstruction", own.modality, own.input_shape, values, encoding=own.encoding)


def network_of(scenario: Scenario, task: Task, given: Given | None = None) -> Network:
    """Return a scenario's network, or that of the phase that it stands for.

    Args:
        scenario: The scenario.
        task: What is learned.
        given: Its first weights, in place of files.

    Raises:
        FedlabError: If the model does not fit the task, or its weights are not available.
    """
    before = scenario.phase.before if scenario.phase else ()
    return build_network(scenario.model, task, scenario.seed, before, given)


def widths_of(scenario: Scenario) -> tuple[float, ...]:
    """Return the widths of the clients' models, in turn; none where all have the whole one."""
    algorithm = registry.clients.get(scenario.client.name)(scenario.client)
    return tuple(getattr(algorithm, "widths", ()))


def narrow_networks(scenario: Scenario, task: Task) -> list[tuple[ModelSettings, Network]]:
    """Return the clients' narrower models, one for each width in turn, with their settings.

    Args:
        scenario: The scenario.
        task: What is learned.

    Raises:
        FedlabError: If the model has no narrower form.
    """
    found = []
    for width in widths_of(scenario):
        settings = narrowed(scenario.model, width)
        found.append((settings, build_network(settings, task, scenario.seed)))
    return found


def load_dataset(scenario: Scenario) -> Dataset:
    """Load the scenario's data set, with its own task and labels.

    Raises:
        FedlabError: If it cannot be had, or classes shall be weighed that it has not.
    """
    settings = scenario.data
    found = registry.datasets.get(settings.name)
    dataset = load_checked(settings.name, lambda: found(settings).load(scenario.seed))
    if any(phase.client.class_weights == "balanced" for phase in phases_of(scenario)):
        return with_class_counts(dataset)
    return dataset


def adversary_of(scenario: Scenario, population: int) -> Adversary | None:
    """Return the scenario's adversary in a population of clients, or None where nobody attacks.

    A fraction is rounded, but leaves at least one malicious and one benign client.
    """
    settings = scenario.attack
    if settings is None:
        return None
    attack: Attack = registry.attacks.get(settings.name)(settings)
    if settings.clients:
        return Adversary(attack, tuple(sorted(set(settings.clients))))
    assert settings.fraction is not None
    count = min(max(1, round(settings.fraction * population)), population - 1)
    draw = seeding.numpy_generator(scenario.seed, "malicious clients")
    chosen = draw.choice(population, count, replace=False)
    return Adversary(attack, tuple(sorted(int(client) for client in chosen)))


def update_chain(scenario: Scenario, layout: Layout) -> UpdateChain:
    """Return the scenario's update processors, in order.

    Args:
        scenario: The scenario.
        layout: Where each tensor stands in what travels.
    """
    processors = [registry.updates.get(table.name)(table) for table in scenario.updates]
    algorithm = registry.clients.get(scenario.client.name)
    sends_weights = getattr(algorithm, "sends_weights", True)
    return UpdateChain(processors, layout, sends_weights, scenario.seed)


def downlink_chain(scenario: Scenario, layout: Layout) -> UpdateChain:
    """Return what processes the change of the global weights on its way to clients.

    Args:
        scenario: The scenario.
        layout: Where each tensor stands in what travels.
    """
    processors = [registry.updates.get(table.name)(table) for table in scenario.downlink]
    return UpdateChain(processors, layout, True, seeding.derive(scenario.seed, "downlink"))


def preparation(network: Network, task: Task, model: Any) -> Preparation:
    """Return what turns stored inputs into those that a network takes.

    Args:
        network: The network.
        task: Says what the stored inputs are.
        model: The network's own keys of ``[model]``.

    Raises:
        FedlabError: If pictures cannot be given the channels that the network takes.
    """
    return build_preparation(
        task,
        channels=network.channels,
        mean=network.mean,
        std=network.std,
        image_size=getattr(model, "image_size", None),
    )


def public_inputs(
    scenario: Scenario, federation: Federation, network: Network, device: torch.device
) -> PublicInputs:
    """Return the public inputs of a federation that has some, and a model to apply to them.

    Args:
        scenario: What is run, or its present phase.
        federation: Its data.
        network: The server's copy of the model.
        device: Where the server computes; on another than the CPU it has a copy of its own there.
    """
    assert federation.public is not None
    task = federation.dataset.task
    own = network if device.type == "cpu" else network_of(scenario, task).at(device)
    return PublicInputs(
        own,
        placed(federation.public, device),
        preparation(own, task, scenario.model),
        getattr(scenario.engine, "threads", 1),
        scenario.engine.deterministic,
    )
