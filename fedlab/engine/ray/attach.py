"""Attaching to a Ray cluster that runs already, or saying within seconds why that cannot be."""

from __future__ import annotations

import socket
from typing import Any

from fedlab.engine.ray.internals import attaching, cluster_here, read_token_again
from fedlab.errors import FedlabError, described

SECONDS_TO_ANSWER = 5.0
SECONDS_TO_FIND_NODE = 8.0
"""For which a node of the cluster is looked for on this machine."""
AUTO = "auto"
CLIENT = "ray://"


def attach(ray: Any, address: str, options: dict[str, Any]) -> None:
    """Attach this process to a cluster.

    Args:
        ray: The module.
        address: ``HOST:PORT`` of a cluster that this machine is a node of, ``ray://HOST:PORT`` of
            any, or ``auto`` for the one that this machine is a node of.
        options: Further options for ``ray.init``.

    Raises:
        FedlabError: If nobody answers, this machine is no node, or the cluster refuses.
    """
    address = _found() if address == AUTO else address
    check_reachable(address)
    read_token_again()
    try:
        with attaching(SECONDS_TO_FIND_NODE):
            ray.init(address=address, **options)
    except FedlabError:
        raise
    except Exception as error:  # Ray raises plain Exceptions and RuntimeErrors, too
        raise _explained(address, error) from error


def _found() -> str:
    """Return the address of the cluster that this machine is a node of."""
    address = cluster_here()
    if address is None:
        raise FedlabError(
            "engine.address: this machine is no node of a Ray cluster; 'ray start --address "
            "HEAD:6379' makes it one, HEAD being the machine of 'ray start --head'"
        )
    return address


def _explained(address: str, error: Exception) -> FedlabError:
    text = f"{error} {error.__cause__ or ''}"
    if "No node info found" in text or "possible node ids" in text:
        return FedlabError(
            f"engine.address: this machine is no node of the Ray cluster at {address}; 'ray start "
            f"--address {address} --num-cpus 0' makes it one that runs no clients, and "
            "'ray://HEAD:10001' reaches a cluster from outside, where Ray's client server runs"
        )
    if "ersion mismatch" in text:
        return FedlabError(
            f"engine.address: the cluster at {address} and this machine have different versions of "
            f"Ray or Python ({described(error)}); install the same on both"
        )
    if isinstance(error, ConnectionError) or "uthenti" in text:
        # Ray itself only prints why, as a warning of its native code.
        return FedlabError(
            f"engine.address: the Ray cluster at {address} does not let this process in; if it "
            "asks for a token, set RAY_AUTH_MODE=token here, too, and RAY_AUTH_TOKEN_PATH to a "
            "file with that token; if it does not, unset RAY_AUTH_MODE"
        )
    return FedlabError(
        f"engine.address: this process cannot attach to the Ray cluster at {address} "
        f"({described(error)})"
    )


def check_reachable(address: str) -> None:
    """Refuse an address where nobody answers, which Ray would try to reach for minutes."""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise FedlabError(
            f"engine.address: no Ray cluster answers at {address} ({error}); 'ray start --head' on "
            "that machine starts one"
        ) from error
