"""The Ray that a process starts on its own machine: its processes, its folder, its end.

Ray's own calls wait without a limit, or a minute, for processes that have been killed or stopped.
So a thread waits for those to end, and says so to whoever is waiting.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fedlab.engine.ray.fork_server import NO_WORDS, ForkServer
from fedlab.engine.ray.internals import for_this_user_only, killed_at_once, lightly, started_by
from fedlab.engine.ray.private_folder import PrivateFolder

SECONDS_TO_START = 120.0
"""On a machine that others use, too, Ray's processes may take a minute to come up."""
NOT_STARTED = (
    f"Ray did not start within {SECONDS_TO_START:.0f} s; this machine may have too little memory "
    "left; engine.name = 'inline' needs none"
)
NO_RECORDS = {"task_events_report_interval_ms": 0}
"""Ray would keep records of a hundred thousand calls, for a dashboard that is not there."""
SECONDS_TO_END = 10.0
SECONDS_TO_END_LOST = 2.0
"""Without one of its processes Ray may wait a minute for an answer."""
SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_TO_NOTICE = 10.0
LOOKS_STOPPED = 3
"""So many looks in a row show a process that is stopped, before it counts as lost."""


class OwnRay:
    """One Ray on this machine, for this process alone.

    Attributes:
        folder: Holds its sockets, its sessions and the workers' crash logs.
        lost: Which of its processes has ended or been stopped, as a clause; None while all run.
    """

    def __init__(self, ray: Any, fork_server: ForkServer | None) -> None:
        self._ray = ray
        self._fork_server = fork_server
        self.folder = fork_server.folder if fork_server else PrivateFolder.create()
        self.lost: str | None = None
        self._processes: dict[str, int] = {}
        self._is_ending = threading.Event()

    def start(self, options: dict[str, Any]) -> None:
        """Start it.

        Args:
            options: Further options for ``ray.init``.
        """
        fork_socket = str(self.folder.fork_socket) if self._fork_server else None
        with self._limited(), lightly(fork_socket), for_this_user_only() as private:
            # "local" keeps clear of a cluster that happens to run on this machine.
            self._ray.init(
                address="local",
                include_dashboard=False,
                _temp_dir=str(self.folder.ray),
                _system_config=NO_RECORDS,
                **private,
                **options,
            )
        self._processes = started_by(self._ray)
        killed_at_once(self._ray)
        if self._processes:
            threading.Thread(target=self._watch, daemon=True, name="ray-watch").start()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """End the process where Ray's native code, which waits while no Python runs, does not.

        That takes a timer of C's, and another process that says why. A process that is no program
        of fedlab's own, such as a notebook, is not ended.
        """
        if self._fork_server is None or self._fork_server.spawned is not None:
            yield
            return
        self.keep(f"error: {NOT_STARTED}\n")
        with open(os.devnull, "w") as nowhere:
            limit = SECONDS_TO_START + SECONDS_TO_NOTICE
            faulthandler.dump_traceback_later(limit, exit=True, file=nowhere)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                self.keep(NO_WORDS)

    def _watch(self) -> None:
        """Wait for one of the processes to end."""
        opened: dict[int, str] = {}
        for name, process in self._processes.items():
            try:
                opened[os.pidfd_open(process)] = name
            except OSError:
                self.lost = f"Ray's process {name} has ended"
        stopped = dict.fromkeys(self._processes, 0)
        while self.lost is None and not self._is_ending.is_set():
            ended, _, _ = select.select(list(opened), [], [], SECONDS_BETWEEN_LOOKS)
            if ended:
                self.lost = f"Ray's process {opened[ended[0]]} has ended"
            for name, process in self._processes.items():
                stopped[name] = stopped[name] + 1 if is_stopped(process) else 0
                if stopped[name] >= LOOKS_STOPPED:
                    self.lost = f"Ray's process {name} ({process}) is stopped"
        for descriptor in opened:
            os.close(descriptor)
        # Whoever waits in native code for what is stopped would wait for ever; he who looks has
        # seen it by now. (Where the raylet ends, Ray's native code soon ends this process.)
        if not self._is_ending.wait(SECONDS_TO_NOTICE):
            self._kill()

    def _kill(self) -> None:
        for process in self._processes.values():
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)

    def keep(self, words: str) -> None:
        """Let these words be printed, should Ray's native code end this process, or a signal."""
        if self._fork_server is not None:
            self._fork_server.keep(words)

    def is_lost(self, seconds: float = 0.0) -> bool:
        """Return whether a process of it is lost, or turns out to be within some seconds."""
        until = time.monotonic() + seconds
        while self.lost is None and time.monotonic() < until:
            time.sleep(0.05)
        return self.lost is not None

    def end(self) -> None:
        """End its processes, whether they answer or not, and remove its folder."""
        self._is_ending.set()
        if self.lost is not None:
            self._kill()
        ending = threading.Thread(target=self._shut_down, daemon=True)
        ending.start()
        ending.join(SECONDS_TO_END if self.lost is None else SECONDS_TO_END_LOST)
        if ending.is_alive():
            # Ray would try again when Python ends, and wait as long.
            atexit.unregister(self._ray.shutdown)
            self._kill()
        if self._fork_server is not None:
            self._fork_server.end()
        self.folder.remove()

    def _shut_down(self) -> None:
        with suppress(Exception):
            self._ray.shutdown()


def is_stopped(process: int) -> bool:
    """Return whether a process is stopped by a signal, where the system says so."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in "Tt"
