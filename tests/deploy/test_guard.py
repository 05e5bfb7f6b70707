from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from fedlab.deploy.guard import SECRET_HEADER, PrivatePort, PublicPort

KEY = "a2V5"


async def flower(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def status(application: Any, path: str, headers: dict[str, str] | None = None) -> int:
    """Return what a request is answered with, from an address of this machine."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "path": path,
        "client": ("127.0.0.1", 1),
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
    }

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(application(scope, None, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/list-runs",
        "/v1/control/stop-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/v1/runtime/responses",
        "/v1/fleet",
        "/v1/fleetx",
        "/V1/CONTROL/start-run",
        "//v1/fleet/pull-messages",
        "/docs",
        "/openapi.json",
        "/",
    ],
)
def test_the_public_port_answers_nothing_but_sites(path: str) -> None:
    public = PublicPort(flower, [KEY])
    assert status(public, path, {"flwr-public-key": KEY, SECRET_HEADER: "secret"}) == 403


def test_the_public_port_answers_sites_whose_key_is_registered() -> None:
    public = PublicPort(flower, [KEY])
    assert status(public, "/v1/fleet/pull-messages", {"flwr-public-key": KEY}) == 200
    assert status(public, "/v1/fleet/pull-messages", {"flwr-public-key": "b3RoZXI="}) == 404
    assert status(public, "/v1/fleet/pull-messages") == 404


def test_without_keys_the_public_port_answers_any_site() -> None:
    assert status(PublicPort(flower, None), "/v1/fleet/pull-messages") == 200
    assert status(PublicPort(flower, None), "/v1/control/start-run") == 403


def test_the_private_port_submits_runs_for_who_has_the_secret() -> None:
    private = PrivatePort(flower, "secret")
    assert status(private, "/v1/control/start-run", {SECRET_HEADER: "secret"}) == 200
    for headers in ({}, {SECRET_HEADER: ""}, {SECRET_HEADER: "secre"}, {"other": "secret"}):
        assert status(private, "/v1/control/start-run", headers) == 403


def test_the_private_port_leaves_the_tokens_of_runs_to_flower() -> None:
    assert status(PrivatePort(flower, "secret"), "/v1/runtime/pull-task-input") == 200


@pytest.mark.parametrize("path", ["/docs", "/v1/fleet/pull-messages", "/"])
def test_the_private_port_answers_nothing_else(path: str) -> None:
    assert status(PrivatePort(flower, "secret"), path, {SECRET_HEADER: "secret"}) == 403
