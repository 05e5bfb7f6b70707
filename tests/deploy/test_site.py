"""A site's first process tells its user what its worker warns of."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlab.deploy.processes import Processes
from fedlab.deploy.settings import load_site
from fedlab.deploy.site import Site

FILE = """
name = "north"
[data]
name = "imagefolder"
path = "pictures"
[server]
address = "127.0.0.1:8000"
number = 0
sites = 2
"""
NEWS = [
    "2026-11-30 19:26:33,995 INFO ready",
    "2026-11-30 19:27:05,427 WARNING the site's data: class 'lung-7' is not the federation's",
]


def test_warnings_of_the_worker_are_told_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "site-north.toml"
    path.write_text(FILE)
    monkeypatch.setattr(Processes, "news_of", lambda self, name: NEWS)
    told: list[str] = []
    site = Site(load_site(path), True, told.append)
    assert site._look()
    assert told == ["the site's data: class 'lung-7' is not the federation's"]
