"""``client.batch_size = "auto"``: the largest batch that fits a device, found once for a run."""

from __future__ import annotations

from typing import Any

from fedlab.data.federation import Federation
from fedlab.engine.devices import CPU, dealt, resolved
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.scenario import Scenario
from fedlab.scenario.phases import phases_of

AUTO = "auto"
ON_CPU = 32
"""What it is on the CPU, where larger batches are no faster."""
MOST_CLIENTS = 10_000
"""Of a larger federation, so many are looked at for the largest client."""
ENGINES = ("inline", "ray")
"""Whose workers are all given the scenario with the size that was found."""


def is_open(scenario: Scenario) -> bool:
    """Return whether the size of batches is still to be found, in any phase."""
    tables = [scenario.client, *(phase.client for phase in scenario.phases)]
    return any(getattr(table, "batch_size", None) == AUTO for table in tables)


def with_batch_size(scenario: Scenario, size: int) -> Scenario:
    """Return a scenario with a size of batches wherever it is still to be found."""
    phases = tuple(
        phase.model_copy(update={"client": _sized(phase.client, size)}) for phase in scenario.phases
    )
    return scenario.model_copy(update={"client": _sized(scenario.client, size), "phases": phases})


def found(scenario: Scenario, federation: Federation) -> Scenario:
    """Return a scenario with the size of batches that fits its device; of phases, all of them.

    On the CPU it is 32. On a device, steps on the largest client's examples are tried, with as many
    times the examples as workers share the device.

    Args:
        scenario: The scenario, whose ``client.batch_size`` is "auto".
        federation: Its data.

    Raises:
        FedlabError: If it cannot be found here, or nothing fits.
    """
    check_findable(scenario)
    engine: Any = scenario.engine
    if resolved(engine.device) == CPU:
        return with_batch_size(scenario, ON_CPU)
    client = max(range(min(len(federation), MOST_CLIENTS)), key=federation.partition.size)
    most = max(2, federation.part_sizes(client)[0])
    plain = scenario.model_copy(update={"engine": engine.model_copy(update={"compile": False})})
    tried = phases_of(with_batch_size(plain, ON_CPU))
    sizes = []
    for phase, asked in zip(tried, phases_of(scenario), strict=True):
        if asked.client.batch_size == AUTO:
            worker = Worker(phase, federation)
            sizes.append(worker.largest_batch(client, most, _sharing(engine)))
    return with_batch_size(scenario, min(sizes))


def check_findable(scenario: Scenario) -> None:
    """Check that a size of batches can be found on this machine.

    Raises:
        FedlabError: If it cannot.
    """
    engine: Any = scenario.engine
    if engine.name not in ENGINES:
        raise FedlabError(
            f"client.batch_size: the nodes of engine '{engine.name}' read the scenario by "
            "themselves, and 'auto' is found for all workers at once; set a number"
        )
    if engine.micro_batch is not None:
        raise FedlabError(
            "client.batch_size: 'auto' finds the batch that fits, and with engine.micro_batch any "
            "does; set a number"
        )
    if getattr(engine, "address", None) is not None and engine.device != "cpu":
        raise FedlabError(
            "client.batch_size: 'auto' is found on this machine, and workers are on a cluster; set "
            "a number"
        )


def _sized(client: Any, size: int) -> Any:
    if getattr(client, "batch_size", None) != AUTO:
        return client
    return client.model_copy(update={"batch_size": size})


def _sharing(engine: Any) -> int:
    """Return how many workers share a device."""
    workers = getattr(engine, "workers", None)
    if workers is None:
        wanted = getattr(engine, "workers_per_device", 1)
        # Workers that are measured come beside one whose batch fills the device, where they fit.
        return 1 if wanted == AUTO else int(wanted)
    return -(-int(workers) // len(dealt(engine.device)))
