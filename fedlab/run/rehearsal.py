"""A run's parts put together for a check: as for a run, without fetching anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fedlab.algorithm.strategy import build_strategy
from fedlab.engine import batch_size
from fedlab.errors import AssetMissing
from fedlab.run.simulation import assemble
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation


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
