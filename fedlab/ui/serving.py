"""Serving the live view until the user ends it."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from fedlab.errors import FedlabError
from fedlab.process import ENDING
from fedlab.ui.access import TOKEN, Access, is_loopback
from fedlab.ui.application import application
from fedlab.ui.view import View

LOOPBACK = "127.0.0.1"
USUAL_PORT = 8765
"""The port where none is named; another one where a program has it."""
SECONDS_TO_END = 1


def serve(folder: Path, host: str, port: int | None, announce: Callable[[str, bool], None]) -> None:
    """Serve the runs in a folder until a signal ends it.

    Args:
        folder: The folder.
        host: The address to listen on.
        port: The port; 0 for any that is free, None for the usual one if it is.
        announce: Called with the page's address, and whether only this machine can reach it, once
            requests are taken.

    Raises:
        FedlabError: If there is no such folder, or the port cannot be listened on.
        KeyboardInterrupt: At Ctrl-C.
    """
    view = View(folder)
    is_local = is_loopback(host)
    with _listening(host, port) as listener:
        number = listener.getsockname()[1]
        access = Access(application(view), number, is_local)
        config = uvicorn.Config(
            access,
            lifespan="off",
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=SECONDS_TO_END,
        )
        server = uvicorn.Server(config)
        named = LOOPBACK if host in ("", "0.0.0.0") else f"[{host}]" if ":" in host else host
        with _ended_by_signals(server):
            announce(f"http://{named}:{number}/?{TOKEN}={access.token}", is_local)
            server.run(sockets=[listener])


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let signals end the server: an event loop is no place for exceptions.

    After the block they are raised again, for those who handled them before. What is ignored, as
    SIGHUP is under nohup, stays so.
    """
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        server.should_exit = True

    before: dict[int, Any] = {}
    try:
        for known in ENDING:
            if signal.getsignal(known) != signal.SIG_IGN:
                before[known] = signal.signal(known, end)
    except ValueError:  # not in the main thread, which alone gets signals
        pass
    try:
        yield
    finally:
        for taken, handler in before.items():
            signal.signal(taken, handler)
    if received:
        signal.raise_signal(received[0])


def _listening(host: str, port: int | None) -> socket.socket:
    try:
        return _bound(host, USUAL_PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return _bound(host, 0)
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise FedlabError(
            f"--host {host} --port {USUAL_PORT if port is None else port} cannot be listened on: "
            f"{reason}; --port 0 takes a port that is free"
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
