"""Run folders to look at, and a browser's side of the conversation."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from fedlab.ui.access import Access
from fedlab.ui.application import application
from fedlab.ui.view import View
from tests.results.conftest import write_run

PORT = 8765


class Browser:
    """A browser that keeps its cookies."""

    def __init__(self, application: ASGIApp, base_url: str = f"http://localhost:{PORT}") -> None:
        self._transport = httpx.ASGITransport(application)
        self._base_url = base_url
        self.cookies = httpx.Cookies()

    def get(self, path: str, **keys: Any) -> httpx.Response:
        return self.request("GET", path, **keys)

    def request(self, method: str, path: str, **keys: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url=self._base_url, cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, **keys)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())


Visit = Callable[[Path], Browser]


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two finished runs; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("looked-at")
    write_run(folder / "digits")
    write_run(folder / "digits-slower", rounds=4, step=0.05)
    return folder


@pytest.fixture
def runs(finished_runs: Path, tmp_path: Path) -> Path:
    """Return a folder with two finished runs, for a test to change."""
    return Path(shutil.copytree(finished_runs, tmp_path / "runs"))


@pytest.fixture
def visit() -> Visit:
    """Return what looks at a folder with a browser that has come in by the token."""

    def visitor(folder: Path) -> Browser:
        access = Access(application(View(folder)), PORT)
        browser = Browser(access)
        assert browser.get("/", params={"token": access.token}).status_code == 200
        return browser

    return visitor
