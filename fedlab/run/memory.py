"""Whether a scenario's model goes into this machine's memory, before it is allocated."""

from __future__ import annotations

import os

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.size import BYTES, count_parameters, worker_bytes
from fedlab.process import machine_memory
from fedlab.scenario import Scenario

GIGABYTE = 1e9
ON_SERVER = 3
"""Vectors of all weights that the server holds at least: the weights, and a sum in float64."""


def check_memory(scenario: Scenario, task: Task) -> None:
    """Refuse a model that cannot go into memory; what it takes is estimated from below.

    Raises:
        FedlabError: If server and workers need more than this machine has.
    """
    memory = machine_memory()
    parameters = count_parameters(scenario.model, task)
    if parameters is None or memory is None or getattr(scenario.engine, "address", None):
        return
    optimizer = scenario.client.optimizer
    each = worker_bytes(
        parameters, scenario.model.trainable, optimizer.name, getattr(optimizer, "momentum", 0.0)
    )
    workers = worker_count(scenario)
    needed = workers * each + ON_SERVER * BYTES * parameters
    if needed <= memory:
        return
    fewer = "" if workers == 1 else ", or fewer engine.workers"
    raise FedlabError(
        f"model: with {parameters:,} parameters, this model needs {each / GIGABYTE:.1f} GB a "
        f"worker, and this machine has {memory / GIGABYTE:.1f} GB for the server and {workers} "
        f"worker{'s' if workers > 1 else ''}; take smaller or fewer layers in [model]{fewer}"
    )


def worker_count(scenario: Scenario) -> int:
    """Return how many processes the scenario's engine runs clients in, on this machine."""
    if scenario.engine.name == "inline":
        return 1
    asked = getattr(scenario.engine, "workers", None) or getattr(scenario.engine, "cpus", None)
    return int(asked or os.cpu_count() or 1)
