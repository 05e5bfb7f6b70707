"""A process's one worker, for a scenario that arrives as text."""

from __future__ import annotations

from functools import lru_cache

from fedlab.data.federation import Federation
from fedlab.engine.devices import use_alone
from fedlab.engine.worker.local_site import Place, federation_of
from fedlab.engine.worker.worker import Worker
from fedlab.own_classes import own_classes
from fedlab.process import set_torch_threads
from fedlab.scenario import Scenario, from_run_config
from fedlab.scenario.parts import load_federation
from fedlab.scenario.phases import phases_of


@lru_cache(maxsize=1)
def worker_of(
    scenario_text: str,
    phase: int = 0,
    device: str | None = None,
    place: Place | None = None,
    classes: bytes = b"",
) -> Worker:
    """Return this process's worker for a scenario that arrived as text, in one of its phases.

    Args:
        scenario_text: The scenario.
        phase: The phase.
        device: The device of this process's machine; None: what the scenario says.
        place: The site whose own data are trained on; None: a part of the scenario's data set.
        classes: The classes of the program's own that the scenario names, packed.
    """
    own_classes.unpack(classes)
    scenario, federation = _loaded(scenario_text, place)
    set_torch_threads(getattr(scenario.engine, "threads", 1))
    worker = Worker(phases_of(scenario)[phase], federation, device)
    use_alone(worker.device)
    return worker


@lru_cache(maxsize=1)
def _loaded(scenario_text: str, place: Place | None) -> tuple[Scenario, Federation]:
    if place is not None:
        return federation_of(scenario_text, place)
    scenario = from_run_config(scenario_text)
    return scenario, load_federation(scenario)
