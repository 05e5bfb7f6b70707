"""What fedlab needs of Ray beyond its public interface; a test fails when a new Ray changes it."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
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

LOOPBACK = "127.0.0.1"
TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextmanager
def for_this_user_only() -> Iterator[dict[str, Any]]:
    """Let a Ray that starts inside the block take orders from this process alone.

    Its processes listen on the loopback address, where Ray would take one that other machines
    reach; and they answer only to a random token, which is in their environment and in this
    process's memory. Other programs of this user could read it there, as they could anything else.

    Yields:
        Options for ``ray.init``.
    """
    from ray._private import ray_constants

    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in TOKEN_VARIABLES}
    networked = ray_constants.ENABLE_RAY_CLUSTER
    _set_environment({name: token.get(name) for name in TOKEN_VARIABLES})
    read_token_again()
    # Ray itself takes the loopback address where it cannot have a cluster, as on macOS.
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield {"_node_ip_address": LOOPBACK}
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = networked
        _set_environment(before)


def read_token_again() -> None:
    """Let Ray take its token, and whether it uses one, from the environment as it is now."""
    from ray import _raylet

    native: Any = _raylet
    native.Config.initialize("")
    native.AuthenticationTokenLoader.instance().reset_cache()


def started_by(ray: Any) -> dict[str, int]:
    """Return the numbers of the processes, by name, that ``ray.init`` has started here."""
    node = ray._private.worker._global_node
    return {
        name: started[0].process.pid
        for name, started in getattr(node, "all_processes", {}).items()
        if started
    }


def killed_at_once(ray: Any) -> None:
    """Let ``ray.shutdown`` kill what ``ray.init`` has started, which ignores other signals.

    It has nothing to save, and a second each for an answer is not waited for.
    """
    node = ray._private.worker._global_node
    kill = getattr(node, "kill_all_processes", None)
    if kill is not None:
        node.kill_all_processes = lambda *_, **__: kill(check_alive=False, allow_graceful=False)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


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

    changed: dict[tuple[Any, str], Any] = {
        (Node, name): _nothing for name in ATTENDANTS if name in vars(Node)
    }
    start = getattr(services, "start_ray_process", None)
    if start is not None:

        def start_lightly(command: list[str], *arguments: Any, **options: Any) -> Any:
            return start(light_command(command, fork_socket), *arguments, **options)

        changed[services, "start_ray_process"] = start_lightly
    with _changed(changed):
        yield


@contextmanager
def attaching(seconds: float) -> Iterator[None]:
    """Let a ``ray.init`` inside the block, which attaches to a cluster, say less and give up.

    Ray prints what ends on any node, with pages of that node's log, on standard output, where lines
    of JSON may be; and it looks for a minute for a node of the cluster on this machine. A Ray that
    is made otherwise does as it would.

    Args:
        seconds: How long a node of the cluster is looked for on this machine.
    """
    from ray._private import services, worker

    changed: dict[tuple[Any, str], Any] = {}
    if "listen_error_messages" in vars(worker):
        changed[worker, "listen_error_messages"] = _nothing
    find = getattr(services, "get_node_to_connect_for_driver", None)
    if find is not None:

        def find_soon(*arguments: Any, **options: Any) -> Any:
            return find(*arguments, **{**options, "timeout_seconds": seconds})

        changed[services, "get_node_to_connect_for_driver"] = find_soon
    with _changed(changed):
        yield


def cluster_here() -> str | None:
    """Return the address of the cluster that this machine is a node of, as Ray finds it."""
    from ray._private import services

    try:
        found = services.canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError):
        return None
    return None if found is None else str(found)


@contextmanager
def _changed(changes: Mapping[tuple[Any, str], Any]) -> Iterator[None]:
    """Give attributes other values inside the block."""
    before = {(owner, name): vars(owner)[name] for owner, name in changes}
    for (owner, name), value in changes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name), value in before.items():
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


def _nothing(*arguments: object, **options: object) -> None:
    """Do nothing."""
