"""A process that has imported what every worker needs, and forks off the workers that Ray starts.

torch alone takes 300 MB and over a second in each process that imports it. Workers that are forked
off share those pages with the process that imported them, and are there at once.

Ray is not forked: it is imported after the fork, in a process of its own, as Ray expects. Forking
is safe only while a process has one thread, so that the server leaves this process before anything
starts one. Where it is too late for that, as in a notebook or under pytest, the server is a Python
of its own, which imports the same.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.engine.ray.private_folder import PrivateFolder
from fedlab.process import ENDING, freeze_heap
from fedlab.streams import lasting_stream
from fedlab.wire.mailbox import remove_those_of

STANDARD_STREAMS = 3
BYTES_AT_ONCE = 1 << 16
LONGEST_WORDS = 1 << 14
NO_WORDS = "\0"
SECONDS_TO_END = 2.0
"""What workers have, once the run's process has ended, before they are killed."""
SECONDS_TO_SETTLE = 1.0
"""After this time none of Ray's processes writes any more: they are killed with their parent."""


@dataclass(frozen=True)
class ForkServer:
    """The server, as the process sees it that started it.

    Attributes:
        folder: Holds the socket that it listens on, and what else the run's processes share.
        lifeline: It ends when this is closed, as it is when this process ends.
        process: Its number.
        spawned: Its handle; None: it was forked off, by a program of fedlab's own.
    """

    folder: PrivateFolder
    lifeline: socket.socket
    process: int
    spawned: subprocess.Popen[bytes] | None = None

    def keep(self, words: str) -> None:
        """Let it print these words, should this process end without any of its own."""
        with suppress(OSError):
            self.lifeline.send(words.encode()[:LONGEST_WORDS])

    def end(self) -> None:
        """Let it end, with all its workers, and wait for that."""
        self.keep(NO_WORDS)
        self.lifeline.close()
        with suppress(OSError):
            descriptor = os.pidfd_open(self.process)
            try:
                if not select.select([descriptor], [], [], SECONDS_TO_END + SECONDS_TO_SETTLE)[0]:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)
        if self.spawned is not None:
            self.spawned.wait()
            return
        with suppress(OSError):
            os.waitpid(self.process, 0)


def start() -> ForkServer | None:
    """Fork the server off this process.

    None: it cannot be forked here, so that workers must be started the ordinary way.

    Raises:
        FedlabError: If there is no place for its socket.
    """
    if not sys.platform.startswith("linux") or threading.active_count() > 1:
        return None
    import fedlab.engine.worker.block_runner  # noqa: F401

    folder = PrivateFolder.create()
    listener = _listening(folder)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # What is frozen is not gone through by the garbage collector, which would write to its pages.
    freeze_heap()
    parent = os.getpid()
    process = os.fork()
    if process:
        listener.close()
        theirs.close()
        gc.unfreeze()
        return ForkServer(folder, ours, process)
    try:
        ours.close()
        os.setsid()
        _live(listener, theirs, folder, parent)
    finally:
        os._exit(0)


def spawn() -> ForkServer | None:
    """Start the server as a Python of its own; who asks it while it still imports, waits.

    None: processes are not forked on this system, so that workers must be started the ordinary way.

    Raises:
        FedlabError: If there is no place for its socket.
    """
    if not sys.platform.startswith("linux"):
        return None
    folder = PrivateFolder.create()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, _listening(folder) as listener:
        passed = (listener.fileno(), theirs.fileno(), folder.lock)
        words = [str(folder.path), *map(str, passed), str(os.getpid())]
        process = subprocess.Popen(
            # It finds what this process finds, and nothing in the present folder besides.
            [sys.executable, "-P", "-m", __name__, *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            stdin=subprocess.DEVNULL,
            pass_fds=passed,
            # Ctrl-C does not reach it. It stays in this session, since Linux shares out the time of
            # a busy machine by sessions.
            process_group=0,
        )
    return ForkServer(folder, ours, process.pid, process)


def main() -> None:
    """Be the server that ``spawn`` starts."""
    folder, *numbers, parent = sys.argv[1:]
    listener, lifeline, lock = map(int, numbers)
    for descriptor in (listener, lifeline, lock):
        os.set_inheritable(descriptor, False)
    import fedlab.engine.worker.block_runner  # noqa: F401

    freeze_heap()
    _live(
        socket.socket(fileno=listener),
        socket.socket(fileno=lifeline),
        PrivateFolder(Path(folder), lock),
        int(parent),
    )


def _listening(folder: PrivateFolder) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder.fork_socket))
    listener.listen()
    return listener


def _live(
    listener: socket.socket, lifeline: socket.socket, folder: PrivateFolder, parent: int
) -> None:
    """Serve until the lifeline ends, then clear up."""
    # What ends a run is decided by its own process: this one and Ray's end with that.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    workers = _serve(listener, lifeline, folder)
    _clear_up(workers, folder)
    remove_those_of(parent)


def _serve(listener: socket.socket, lifeline: socket.socket, folder: PrivateFolder) -> list[int]:
    """Fork a worker for each request, until the other end of the lifeline is closed.

    Returns:
        A descriptor of each worker's process.
    """
    workers: list[int] = []
    words = NO_WORDS
    while True:
        ready, _, _ = select.select([listener, lifeline], [], [])
        if lifeline in ready:
            said = lifeline.recv(LONGEST_WORDS).decode(errors="replace")
            if not said:
                with suppress(OSError):
                    os.write(2, words.strip(NO_WORDS).encode())
                return workers
            words = said
            continue
        connection, _ = listener.accept()
        with connection:
            message, streams, _, _ = socket.recv_fds(connection, BYTES_AT_ONCE, STANDARD_STREAMS)
            while more := connection.recv(BYTES_AT_ONCE):
                message += more
            if len(streams) == STANDARD_STREAMS:
                worker = os.fork()
                if worker == 0:
                    for inherited in (listener, lifeline, connection):
                        inherited.close()
                    for descriptor in (folder.lock, *workers):
                        os.close(descriptor)
                    _become(json.loads(message), streams)
                with suppress(OSError):  # it has ended already
                    workers.append(os.pidfd_open(worker))
        for stream in streams:
            os.close(stream)


def _clear_up(workers: list[int], folder: PrivateFolder) -> None:
    """End the workers that have not ended with the run, and remove the folder."""
    until = time.monotonic() + SECONDS_TO_END
    while workers and (left := until - time.monotonic()) > 0:
        ended, _, _ = select.select(workers, [], [], left)
        workers = [worker for worker in workers if worker not in ended]
    for worker in workers:
        with suppress(OSError):
            signal.pidfd_send_signal(worker, signal.SIGKILL)
    folder.remove()
    if folder.path.exists():
        time.sleep(SECONDS_TO_SETTLE)
        folder.remove()


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Run a program as the process that was asked for would; never return."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        # Whoever started the run may have put others in their place, such as a buffer.
        sys.stdout, sys.stderr = lasting_stream(1), lasting_stream(2)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = request["arguments"]
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
