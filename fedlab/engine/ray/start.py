"""Starting Ray, of which a process has one: early, while everything else is still being loaded."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from fedlab.engine.ray import fork_server
from fedlab.engine.ray.attach import attach
from fedlab.engine.ray.fork_server import ForkServer
from fedlab.engine.ray.own import NOT_STARTED, SECONDS_TO_START, OwnRay
from fedlab.errors import FedlabError
from fedlab.process import ENDING

MOST_EARLY = 256
"""Workers that are started before the scenario is checked."""
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_ATTACH = 20.0
"""To a cluster that runs; that takes a second or two."""
VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}
"""What Ray reads, unless the user has set it.

Of Ray's own niceness, 15, workers get a thirtieth of a core that another program computes on.
"""
SILENT: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
INLINE = "engine.name = 'inline' needs none"


class RayStart(threading.Thread):
    """Ray's start under way, and the workers that wait for a scenario.

    Attributes:
        address: Of the cluster to attach to; None: Ray is started on this machine.
        workers: Actor handles, once Ray has started.
        error: Why it did not start.
        ready: Set when it has started, or could not be.
        own: The Ray that was started on this machine.
    """

    def __init__(
        self, address: str | None, workers: int = 0, fork_server: ForkServer | None = None
    ) -> None:
        super().__init__(daemon=True, name="ray-start")
        self._fork_server = fork_server
        self.address = address
        self.workers: list[Any] = []
        self.error: Exception | None = None
        self.ready = threading.Event()
        self.own: OwnRay | None = None
        self._wanted = workers

    def run(self) -> None:
        """Start Ray; an error is raised when Ray is needed.

        The thread stays: Ray's processes end with the thread that started them.
        """
        # Signals go to the main thread, and what ends the run does not end Ray's processes first.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            ray = self._start()
            self.workers = [start_worker(ray, {"num_cpus": 0.0}) for _ in range(self._wanted)]
        except Exception as error:
            self.error = error
        finally:
            self.ready.set()
        threading.Event().wait()

    def _start(self) -> Any:
        """Start Ray on this machine, its workers forked off where asked, or attach to a cluster."""
        for variable, value in VARIABLES.items():
            os.environ.setdefault(variable, value)
        import ray

        if self.address is None:
            self.own = OwnRay(ray, self._fork_server)
            self.own.start(SILENT)
        else:
            attach(ray, self.address, SILENT)
        return ray


_early: list[RayStart] = []
_running: list[RayStart] = []


def start_early(engine: Any, forks_this_process: bool = True) -> None:
    """Begin to start Ray in the background, if the raw table ``[engine]`` asks for it.

    Call it before anything starts a thread: workers are forked off this process, where that is
    possible. Mistakes in the table are reported when the scenario is checked.

    Args:
        engine: The table.
        forks_this_process: False in a program that is not fedlab's own, of whose threads, files
            and devices nothing is known: workers are forked off another process.
    """
    table = engine if isinstance(engine, dict) else {}
    if table.get("name", "ray") != "ray" or _early:
        return
    address = address_of(table)
    if not forks_this_process and _serves(address):
        return
    workers = table.get("workers") or os.cpu_count() or 1
    plain = address is None and isinstance(workers, int) and not table.get("gpus_per_worker")
    server = fork_server.start() if plain and forks_this_process else None
    if plain and server is None:
        server = fork_server.spawn()
    # The table is not checked yet: a number that no machine has starts nothing. How many workers
    # share an accelerator is not known yet, either.
    is_known = bool(table.get("workers")) or table.get("device", "cpu") == "cpu"
    wanted = workers if plain and is_known and 1 <= workers <= MOST_EARLY else 0
    _early.append(_begun(RayStart(address, wanted, server)))


def ensure_started(address: str | None, is_forked: bool = True) -> tuple[Any, list[Any]]:
    """Return the module ``ray``, started on this machine or attached, and the early workers.

    Args:
        address: Of the cluster to attach to; None: Ray is started on this machine.
        is_forked: Whether workers may be forked off, where Ray has not begun to start.

    Raises:
        FedlabError: If it does not start, or nobody answers at the address.
    """
    import ray

    if not _early and _serves(address):
        return ray, []
    start = _early.pop() if _early else _begun_late(address, is_forked)
    _wait_for(start)
    if start.error is None and not ray.is_initialized():
        # Somebody has shut it down since.
        start = _begun_late(address, is_forked)
        _wait_for(start)
    _take_signals_back()
    if start.error is not None:
        raise _explained(start.error)
    return ray, start.workers


def _wait_for(start: RayStart) -> None:
    """Wait until Ray has started, or could not be.

    Raises:
        FedlabError: If that takes too long.
    """
    limit = SECONDS_TO_START if start.address is None else SECONDS_TO_ATTACH
    until = time.monotonic() + limit
    while not start.ready.wait(SECONDS_BETWEEN_LOOKS) and time.monotonic() < until:
        _take_signals_back()
    if not start.ready.is_set() and start.address is None:
        raise FedlabError(NOT_STARTED)
    if not start.ready.is_set():
        raise FedlabError(
            f"engine.address: the Ray cluster at {start.address} accepts connections and does not "
            f"answer within {limit:.0f} s; 'ray status --address {start.address}' there shows why"
        )


def _serves(address: str | None) -> bool:
    """Return whether Ray runs already where a run wants it; one of somebody else's serves all."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return False
    own = own_ray()
    return not (own and own.is_lost()) and (not _running or _running[-1].address == address)


def own_ray() -> OwnRay | None:
    """Return the Ray that this process has started on this machine, if it runs."""
    return _running[-1].own if _running else None


def _begun(start: RayStart) -> RayStart:
    """Begin a start; what an earlier one has left is ended."""
    if not _running:
        atexit.register(_end)
    _end()
    _running.append(start)
    start.start()
    return start


def _begun_late(address: str | None, is_forked: bool) -> RayStart:
    """Begin a start when this process may have threads."""
    server = fork_server.spawn() if address is None and is_forked else None
    return _begun(RayStart(address, fork_server=server))


def _end() -> None:
    """End the Ray of this process, within seconds."""
    while _running:
        start = _running.pop()
        if start.own is not None:
            start.own.end()
        elif start.address is not None and start.ready.is_set():
            # What this process was attached to goes on.
            sys.modules["ray"].shutdown()


def _take_signals_back() -> None:
    """Undo that Ray's native code has taken signals for itself, to print where it stood."""
    for number in ENDING:
        with suppress(ValueError, TypeError):  # outside the main thread, or not set from Python
            signal.signal(number, signal.getsignal(number))


def _explained(error: Exception) -> FedlabError:
    """Return an error of Ray's start as a sentence."""
    if isinstance(error, FedlabError):
        return error
    # Ray raises plain Exceptions, too, where one of its processes does not come up.
    reason = " ".join(str(error).split()) or type(error).__name__
    explained = FedlabError(f"Ray did not start ({reason}); {INLINE}")
    explained.__cause__ = error
    return explained


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
