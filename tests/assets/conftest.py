"""Places of their own for the tests of assets, so that none touches the user's."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a cache of its own, but those that look at real assets."""
    folder = tmp_path / "cache"
    if "asset" not in request.fixturenames:
        monkeypatch.setenv("FEDLAB_CACHE", str(folder))
        monkeypatch.delenv("FEDLAB_DATA", raising=False)
        monkeypatch.delenv("FEDLAB_OFFLINE", raising=False)
    return folder
