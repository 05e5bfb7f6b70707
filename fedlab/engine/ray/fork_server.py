"""A process that has imported what every worker needs, and forks off the workers that Ray starts.

torch alone takes 300 MB and over a second in each process that imports it. Workers that are forked
off share those pages with the process that imported them, and are there at once.

Ray is not forked: it is imported after the fork, in a process of its own, as Ray expects. Forking
is safe only while a process has one thread, so that the server leaves this process before anything
starts one.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.process import freeze_heap

STANDARD_STREAMS = 3
BYTES_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class ForkServer:
    """The server, as the process sees it that it was forked off.

    Attributes:
        path: The socket that it listens on.
        lifeline: It ends when this is closed, as it is when this process ends.
    """

    path: str
    lifeline: socket.socket


def start() -> ForkServer | None:
    """Fork the server off this process.

    None: it cannot be forked here, so that workers must be started the ordinary way.
    """
    if not sys.platform.startswith("linux") or threading.active_count() > 1:
        return None
    import fedlab.engine.worker.block_runner  # noqa: F401

    folder = tempfile.mkdtemp(prefix="fedlab-fork-")
    path = str(Path(folder) / "socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    ours, theirs = socket.socketpair()
    # What is frozen is not gone through by the garbage collector, which would write to its pages.
    freeze_heap()
    if os.fork():
        listener.close()
        theirs.close()
        gc.unfreeze()
        return ForkServer(path, ours)
    try:
        ours.close()
        # Nor do Ray's processes listen to Ctrl-C: the run's own process decides what ends.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        _serve(listener, theirs)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)


def _serve(listener: socket.socket, lifeline: socket.socket) -> None:
    """Fork a worker for each request, until the other end of the lifeline is closed."""
    while True:
        ready, _, _ = select.select([listener, lifeline], [], [])
        if lifeline in ready:
            return
        connection, _ = listener.accept()
        with connection:
            message, streams, _, _ = socket.recv_fds(connection, BYTES_AT_ONCE, STANDARD_STREAMS)
            while more := connection.recv(BYTES_AT_ONCE):
                message += more
            if len(streams) == STANDARD_STREAMS and os.fork() == 0:
                for inherited in (listener, lifeline, connection):
                    inherited.close()
                _become(json.loads(message), streams)
        for stream in streams:
            os.close(stream)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Run a program as the process that was asked for would; never return."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        # Whoever started the run may have put others in their place, such as a buffer.
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
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
