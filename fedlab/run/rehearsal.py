"""A run's parts put together for a check: as for a run, without fetching anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fedlab.algorithm.strategy import build_strategy
from fedlab.engine import batch_size
from fedlab.engine.flower.deployment import deployed, undeployable
from fedlab.errors import AssetMissing, FedlabErrors
from fedlab.run.simulation import assemble
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation, posed
from fedlab.scenario.site_data import Pooled, is_of_sites, objections, schema_federation

_STAND_IN = 100
"""Examples of a site whose own number is not known yet."""
_AT_SITES = (
    "the data are at the sites, which 'fedlab deploy run' asks whether theirs fit; all else was "
    "checked"
)


def rehearse(scenario: Scenario) -> list[str]:
    """Put a run's parts together without fetching anything; return what the user should know.

    What is not on this machine is left out, and said.

    Raises:
        FedlabError: With whatever a run would be refused for.
    """
    if batch_size.is_open(scenario):
        batch_size.check_findable(scenario)
        size = batch_size.ON_CPU
        note = f"client.batch_size: 'auto' is found when the run begins; checked with {size}"
        return [note, *rehearse(batch_size.with_batch_size(scenario, size))]
    if is_of_sites(scenario) and not scenario.data.site_files:
        return [_AT_SITES, *_without_sites(scenario)]
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


def _without_sites(scenario: Scenario) -> list[str]:
    """Put together what the server of a deployment does, for sites with some examples each."""
    problems = [*objections(scenario), *undeployable(scenario)]
    if problems:
        raise FedlabErrors(problems)
    sites = scenario.data.sites
    federation = schema_federation(scenario, [_STAND_IN] * sites, [0] * sites, Pooled())
    with _nothing_fetched():
        return assemble(deployed(scenario), posed(scenario, federation)).notes


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
