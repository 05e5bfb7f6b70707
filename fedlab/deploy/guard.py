"""What a SuperLink answers, and whom.

Flower serves all its interfaces on one port, and asks nobody who submits a run who they are. Here
two ports serve one SuperLink. The public one answers the interface of sites alone, and those sites
alone whose keys are registered. All else is on a port of the loopback address: submitting runs asks
for a secret that is in a file of the server's user, and the processes of runs have tokens.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

FLEET, CONTROL, RUNTIME, HEALTH = "/v1/fleet/", "/v1/control/", "/v1/runtime/", "/health"
KEY_HEADER = b"flwr-public-key"
SECRET_HEADER = "fedlab-secret"
ACTIVATION_FAILED = 2004
"""Flower's code of an answer to a site whose key it does not know."""
NOT_REGISTERED = "this site's key is not registered at the server"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class PublicPort:
    """Answers sites whose keys are registered, and nobody else.

    Args:
        application: Flower's.
        keys: The sites' keys, as requests name them; None: any site, for trials without keys.
    """

    def __init__(self, application: Application, keys: Iterable[str] | None) -> None:
        self._application = application
        self._keys = None if keys is None else frozenset(key.encode() for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._allows(scope)):
            await self._application(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(FLEET):
            await _refuse(send, 404, NOT_REGISTERED, ACTIVATION_FAILED)
        else:
            await _refuse_any(scope, send, "this port is for the federation's sites")

    def _allows(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path == HEALTH:
            return True
        if not path.startswith(FLEET):
            return False
        # A request is refused before its content is read; that it is signed, Flower checks.
        return self._keys is None or bool(self._keys & set(_headers(scope, KEY_HEADER)))


class PrivatePort:
    """Answers the processes of this machine's user: they have a secret, or a run's token.

    Args:
        application: Flower's.
        secret: What a request to the Control interface must have in its header.
    """

    def __init__(self, application: Application, secret: str) -> None:
        self._application = application
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and self._allows(scope):
            await self._application(scope, receive, send)
        else:
            await _refuse_any(scope, send, "the secret is missing")

    def _allows(self, scope: Scope) -> bool:
        path: str = scope["path"]
        # Flower asks there for a run's token, or for a signature with the executor's secret.
        if path.startswith(RUNTIME) or path == HEALTH:
            return True
        given = _headers(scope, SECRET_HEADER.encode())
        shown = [value for value in given if hmac.compare_digest(value, self._secret)]
        return path.startswith(CONTROL) and bool(shown)


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


async def _refuse_any(scope: Scope, send: Send, detail: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _refuse(send, 403, detail)


async def _refuse(send: Send, status: int, detail: str, code: int = 0) -> None:
    body = json.dumps({"code": code, "detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
