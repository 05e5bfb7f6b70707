"""What fedlab needs of Ray beyond its public interface; a test fails when a new Ray changes it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedlab.engine.ray import agent as ray_agent
from fedlab.engine.ray import fork_client

ATTENDANTS = ("start_monitor", "start_log_monitor", "start_api_server")
"""Methods of Ray's ``Node`` that start processes which a run on one machine does not use."""
AGENTS = {
    "--dashboard_agent_command": (
        "metrics_agent_port",
        "metrics_export_port",
        "dashboard_agent_listen_port",
    ),
    "--runtime_env_agent_command": ("runtime_env_agent_port",),
}
"""Options of the raylet that start its agents, and the files to which these write their ports."""
WORKERS = "--python_worker_command"
ALONE = [sys.executable, "-I", "-S"]
"""Python without site packages, which starts in a few milliseconds."""


@contextmanager
def lightly(fork_socket: str | None) -> Iterator[None]:
    """Let Ray start inside the block with nothing that a run on one machine does not use.

    It has no autoscaler, log monitor and dashboard server, which take 50 MB and a second of a core
    each; programs that do nothing stand in for the agents; and workers are forked off the fork
    server, where there is one. None of this has a switch in ``ray.init``. A Ray that is made
    otherwise starts as it would.

    Args:
        fork_socket: Where the fork server listens.
    """
    from ray._private import services
    from ray._private.node import Node

    changed: list[tuple[Any, str, Any]] = [
        (Node, name, _nothing) for name in ATTENDANTS if name in vars(Node)
    ]
    start = getattr(services, "start_ray_process", None)
    if start is not None:

        def start_lightly(command: list[str], *arguments: Any, **options: Any) -> Any:
            return start(light_command(command, fork_socket), *arguments, **options)

        changed.append((services, "start_ray_process", start_lightly))
    before = [(owner, name, vars(owner)[name]) for owner, name, _ in changed]
    for owner, name, value in changed:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def light_command(command: Sequence[str], fork_socket: str | None) -> list[str]:
    """Return the command of one of Ray's processes; the raylet's with other programs to start.

    Args:
        command: What Ray would start.
        fork_socket: Where the fork server listens, or None.
    """
    options = dict(part.split("=", 1) for part in command if part.startswith("--") and "=" in part)
    if not {WORKERS, *AGENTS, "--session_dir", "--node_id"} <= options.keys():
        return list(command)
    session, node = Path(options["--session_dir"]), options["--node_id"]
    light: dict[str, list[str]] = {}
    for option, ports in AGENTS.items():
        files = [str(session / f"{port}_{node}") for port in ports]
        light[option] = [*ALONE, ray_agent.__file__, *files]
    if fork_socket is not None:
        _, *launched = shlex.split(options[WORKERS])
        light[WORKERS] = [*ALONE, fork_client.__file__, fork_socket, *launched]
    return [_with_program(part, light) for part in command]


def _with_program(part: str, light: dict[str, list[str]]) -> str:
    option = part.partition("=")[0]
    return f"{option}={subprocess.list2cmdline(light[option])}" if option in light else part


def _nothing(node: object, **options: object) -> None:
    """Start nothing."""
