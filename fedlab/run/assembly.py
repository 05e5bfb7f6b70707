"""The parts of a run, put together and held against each other: by a run, and by a check."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flwr.serverapp.strategy import Strategy

from fedlab.algorithm.strategy import build_strategy
from fedlab.data.federation import Federation
from fedlab.errors import AssetMissing
from fedlab.models.network import Network, build_network
from fedlab.own_modules import own_modules
from fedlab.run.checks import check_compatibility, setup_of
from fedlab.run.memory import check_memory
from fedlab.run.notes import notes_on
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation

for variable, value in (
    ("FLWR_TELEMETRY_ENABLED", "0"),
    ("FLWR_DISABLE_UPDATE_CHECK", "1"),
):
    os.environ.setdefault(variable, value)
logging.getLogger("flwr").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Assembly:
    """All of a run but its engine.

    Attributes:
        federation: The data.
        network: The server's copy of the model.
        strategy: The server's algorithm.
        notes: What the user should know before the first round, a sentence each.
    """

    federation: Federation
    network: Network
    strategy: Strategy
    notes: list[str]


def assemble(scenario: Scenario, federation: Federation | None = None) -> Assembly:
    """Put a run's parts together.

    Args:
        scenario: What is run.
        federation: Its data; None loads them.

    Raises:
        FedlabError: With whatever speaks against the run, before its first round.
    """
    if scenario.module_folders is not None:
        own_modules.look_in(scenario.module_folders)
    federation = federation or load_federation(scenario)
    check_memory(scenario, federation.dataset.task)
    network = build_network(scenario.model, federation.dataset.task, scenario.seed)
    strategy = build_strategy(scenario.strategy)
    setup = setup_of(scenario, federation, network, strategy)
    check_compatibility(setup)
    return Assembly(federation, network, strategy, notes_on(setup))


def rehearse(scenario: Scenario) -> list[str]:
    """Put a run's parts together without fetching anything; return what the user should know.

    What is not on this machine is left out, and said.

    Raises:
        FedlabError: With whatever a run would be refused for.
    """
    with _nothing_fetched():
        try:
            federation = load_federation(scenario)
        except AssetMissing:
            build_strategy(scenario.strategy)
            return [
                f"data.name: '{scenario.data.name}' is not at hand, so that the scenario was "
                "checked without data and model"
            ]
        try:
            return assemble(scenario, federation).notes
        except AssetMissing:
            bare = _without_weights(scenario)
            return [
                "model.pretrained: the weights are not at hand, so that the model was checked "
                "without them",
                *assemble(bare, federation).notes,
            ]


def _without_weights(scenario: Scenario) -> Scenario:
    model: Any = scenario.model
    others = tuple(other.model_copy(update={"pretrained": False}) for other in model.others)
    bare = model.model_copy(update={"pretrained": False, "others": others})
    return scenario.model_copy(update={"model": bare})


@contextmanager
def _nothing_fetched() -> Iterator[None]:
    before = os.environ.get("FEDLAB_OFFLINE")
    os.environ["FEDLAB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["FEDLAB_OFFLINE"]
        else:
            os.environ["FEDLAB_OFFLINE"] = before
