"""The processes of a party: started with what they need, watched, and ended together.

Each has a lifeline, a pipe whose other end the party's first process holds: however that ends, the
others see it and end as well.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from fedlab.deploy.keys import write_secret
from fedlab.errors import FedlabError, Interrupted

LIFELINE = "FEDLAB_DEPLOY_LIFELINE"
SECONDS_TO_END = 4.0
SIGNALS_TO_END = 2
"""A run ends after its round at the first signal, and at once at the second."""
SECONDS_AFTER_LIFELINE = 15.0
"""What a process has to end by itself, once the party's first process has ended."""
MISTAKE, MISTAKEN = "error: ", 2
"""What stands before a sentence about what the user can mend, and the exit code then."""
FLOWER = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "PYTHONUNBUFFERED": "1",
}
"""Flower reports nothing, asks for no newer version, and installs nothing."""
NOT_INHERITED = (
    *("FLWR_INTERNAL_GRPC_CONTROL_API", "FLWR_INTERNAL_GRPC_FLEET_API", "FORWARDED_ALLOW_IPS"),
    *("FLWR_DATABASE", "FLWR_ENABLE_EVENT_LOG", LIFELINE),
)
"""Variables that would open further ports, or let a stranger say where it calls from."""


def flower_environment(home: Path) -> dict[str, str]:
    """Return the environment of a process of Flower's.

    Args:
        home: Flower's folder of this party.
    """
    inherited = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
    return {**inherited, **FLOWER, "FLWR_HOME": str(home)}


def private_folder(path: Path) -> Path:
    """Make a folder that its owner alone can enter, unless it is there.

    Raises:
        FedlabError: If it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise FedlabError(f"{path}: the folder cannot be made: {error.strerror}") from error
    return path


def replace_secret(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, in place of an earlier one."""
    path.unlink(missing_ok=True)
    write_secret(path, content)


@contextmanager
def only_one(folder: Path, otherwise: str) -> Iterator[None]:
    """Let one process at a time have a party's folder inside the block.

    Args:
        folder: The folder.
        otherwise: What is said where another has it.

    Raises:
        FedlabError: If another has it.
    """
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise FedlabError(otherwise) from error
    try:
        yield
    finally:
        lock.release()


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Processes:
    """A party's further processes.

    Attributes:
        folder: Where each writes ``NAME.log``, and where they start.
        environment: Theirs.
    """

    folder: Path
    environment: Mapping[str, str]
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _log_begins: dict[str, int] = field(default_factory=dict)
    _log_read: dict[str, int] = field(default_factory=dict)
    _lifeline: tuple[int, int] = field(default_factory=os.pipe)

    def start(self, name: str, module: str, *arguments: str, **more: str) -> int:
        """Start a module of fedlab as a process; return its number.

        Args:
            name: What its log is called.
            module: The module.
            arguments: Its arguments.
            more: Further variables of its environment.
        """
        log: IO[bytes]
        with self.log_of(name).open("ab") as log:
            self._log_begins[name] = log.tell()
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**self.environment, **more, LIFELINE: str(self._lifeline[0])},
                pass_fds=(self._lifeline[0],),
                start_new_session=True,
            )
        return self._running[name].pid

    def log_of(self, name: str) -> Path:
        """Return the log of a process."""
        return self.folder / f"{name}.log"

    def lines_of(self, name: str, wanted: Callable[[str], bool]) -> list[str]:
        """Return lines that a process has written since its start, those that are wanted."""
        with suppress(OSError), self.log_of(name).open("rb") as log:
            log.seek(self._log_begins[name])
            lines = log.read().decode(errors="replace").splitlines()
            return [line.strip() for line in lines if wanted(line)]
        return []

    def news_of(self, name: str) -> list[str]:
        """Return the whole lines that a process has written since the last call."""
        with suppress(OSError), self.log_of(name).open("rb") as log:
            start = self._log_read.get(name, self._log_begins[name])
            log.seek(start)
            whole, newline, _ = log.read().rpartition(b"\n")
            self._log_read[name] = start + len(whole) + len(newline)
            return whole.decode(errors="replace").splitlines()
        return []

    def ended(self) -> dict[str, int]:
        """Return the exit codes of processes that have ended since the last call, by name."""
        codes = {name: process.poll() for name, process in self._running.items()}
        ended = {name: code for name, code in codes.items() if code is not None}
        for name in ended:
            del self._running[name]
        return ended

    def is_running(self, name: str) -> bool:
        """Return whether a process was running at the last call of :meth:`ended`."""
        return name in self._running

    def signal(self, name: str, number: int) -> None:
        """Send a process a signal, if it is running."""
        if name in self._running:
            self._running[name].send_signal(number)

    def end(self) -> None:
        """End all processes, those last that were started first; kill what does not end in time."""
        for process in reversed(self._running.values()):
            for _ in range(SIGNALS_TO_END):
                with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    process.terminate()
                    process.wait(SECONDS_TO_END)
                    break
            # Each leads a group, so that what it may have started is ended, too.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running.clear()
        for end in self._lifeline:
            with suppress(OSError):
                os.close(end)


def end_with_party() -> None:
    """Let this process end when the party's first process has; call it once, at the start."""
    descriptor = int(os.environ.pop(LIFELINE))

    def wait() -> None:
        with suppress(OSError):
            os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SECONDS_AFTER_LIFELINE)
        os._exit(1)

    # The other end is the first process's alone: ours was not inherited.
    threading.Thread(target=wait, daemon=True).start()


def wait_while(alive: Callable[[], bool], interval: Callable[[], float] = lambda: 0.2) -> None:
    """Return when something has ended, or a signal ends this process.

    Args:
        alive: Returns whether to go on.
        interval: Returns the seconds until the next call.
    """
    with suppress(Interrupted, KeyboardInterrupt):
        while alive():
            time.sleep(interval())
