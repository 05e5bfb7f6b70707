"""Blocks that are computed again on a device: its dropout draws the same, and memory is spared."""

from __future__ import annotations

import pytest
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment, Update
from tests.devices.strict import limited, used
from tests.shared import scenario_with

pytestmark = pytest.mark.usefixtures("strict")


def worker_of(again: bool, batch_size: int) -> Worker:
    changes = {
        "data": {"partition": {"clients": 1}},
        "model": {"name": "vit", "depth": 6, "drop_path": 0.3, "dropout": 0.3},
        "client": {"batch_size": batch_size, "steps": 3},
        "engine": {"device": "strict", "checkpointing": again},
    }
    scenario = scenario_with(changes)
    return Worker(scenario, load_federation(scenario))


def trained(worker: Worker) -> Update:
    return worker.train(Assignment(0, 1, worker.network.model.wire().cpu()))


def test_dropout_draws_the_same_numbers_again() -> None:
    expected, found = (trained(worker_of(again, 16)) for again in (False, True))
    assert torch.equal(found.weights, expected.weights)


def test_a_batch_fits_that_would_not_fit_without() -> None:
    found = {}
    for again in (False, True):
        worker = worker_of(again, 64)
        asked = Assignment(0, 1, worker.network.model.wire().cpu())
        worker._placement.shared(asked.wire)
        with limited(used() + (4 << 20)):
            try:
                found[again] = worker.train(asked).examples > 0
            except FedlabError as error:
                found[again] = "a batch of 64 does not fit" not in str(error)
    assert found == {False: False, True: True}
