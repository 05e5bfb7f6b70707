"""Starting Ray, of which a process has one: early, while everything else is still being loaded."""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import nullcontext, suppress
from typing import Any

from fedlab.engine.ray import fork_server
from fedlab.engine.ray.fork_server import ForkServer
from fedlab.engine.ray.internals import lightly
from fedlab.errors import FedlabError

SECONDS_TO_ANSWER = 5.0
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class EarlyStart(threading.Thread):
    """Ray's start under way, and the workers that wait for a scenario.

    Attributes:
        workers: Actor handles, once Ray has started.
        ready: Set when it has started, or could not be.
    """

    def __init__(
        self, address: str | None, workers: int, fork_server: ForkServer | None = None
    ) -> None:
        super().__init__(daemon=True, name="ray-start")
        self._fork_server = fork_server
        self.address = address
        self.workers: list[Any] = []
        self.ready = threading.Event()
        self._wanted = workers

    def run(self) -> None:
        """Start Ray; an error is raised again when Ray is needed.

        The thread stays: Ray's processes end with the thread that started them.
        """
        with suppress(Exception):
            ray = _start(self.address, self._fork_server)
            self.workers = [start_worker(ray, {"num_cpus": 0.0}) for _ in range(self._wanted)]
        self.ready.set()
        threading.Event().wait()


_early: list[EarlyStart] = []


def start_early(engine: Any) -> None:
    """Begin to start Ray in the background, if the raw table ``[engine]`` asks for it.

    Call it before anything starts a thread: workers are forked off this process, where that is
    possible. Mistakes in the table are reported when the scenario is checked.
    """
    table = engine if isinstance(engine, dict) else {}
    if table.get("name", "ray") != "ray" or _early:
        return
    address = address_of(table)
    workers = table.get("workers") or os.cpu_count() or 1
    plain = address is None and isinstance(workers, int) and not table.get("gpus_per_worker")
    server = fork_server.start() if plain else None
    _early.append(EarlyStart(address, workers if plain else 0, server))
    _early[0].start()


def ensure_started(address: str | None) -> tuple[Any, list[Any]]:
    """Return the module ``ray``, started on this machine or attached, and the early workers.

    Raises:
        FedlabError: If it does not start, or nobody answers at the address.
    """
    import ray

    workers: list[Any] = []
    if _early:
        early = _early.pop()
        early.ready.wait()
        workers = early.workers
    if not ray.is_initialized():
        _start(address)
    return ray, workers


def address_of(settings: Any) -> str | None:
    """Return the address of the running cluster that a scenario or the environment names."""
    named = settings.get("address") if isinstance(settings, dict) else settings.address
    return str(named) if named else os.environ.get("RAY_ADDRESS")


def start_worker(ray: Any, options: dict[str, Any]) -> Any:
    """Return a new worker, which begins to load what every worker needs."""
    from fedlab.engine.ray.actor import RayWorker

    worker = ray.remote(RayWorker).options(**options).remote()
    worker.load.remote()
    return worker


def _start(address: str | None, server: ForkServer | None = None) -> Any:
    """Start Ray on this machine, its workers forked off where asked, or attach to a cluster."""
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    import ray

    if address is not None:
        check_reachable(address)
    # "local" keeps clear of a cluster that happens to run on this machine.
    place: dict[str, Any] = {"address": address or "local"}
    if address is None:
        place["include_dashboard"] = False
    try:
        with nullcontext() if address else lightly(server.path if server else None):
            ray.init(**place, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:
        # Ray raises plain Exceptions, too, where one of its processes does not come up.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FedlabError(
            f"Ray did not start ({reason}); engine.name = 'inline' needs none"
        ) from error
    return ray


def check_reachable(address: str) -> None:
    """Refuse an address where nobody answers, which Ray would try to reach for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise FedlabError(
            f"engine.address: no Ray cluster answers at {address} ({error}); 'ray start --head' on "
            "that machine starts one"
        ) from error
