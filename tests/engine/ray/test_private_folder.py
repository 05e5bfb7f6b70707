"""The folder of a run's sockets: private, short enough, and gone when the run is."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from fedlab.engine.ray.private_folder import LONGEST_SOCKET, PrivateFolder


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for temporary files with a path as short as that of most."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_it_is_for_its_user_alone(parent: Path) -> None:
    folder = PrivateFolder.create()
    assert folder.path.parent == parent
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.remove()
    assert list(parent.iterdir()) == []


def test_a_new_one_removes_what_killed_runs_have_left(parent: Path) -> None:
    left, used = PrivateFolder.create(), PrivateFolder.create()
    (left.path / "socket").write_text("")
    os.close(left.lock)
    new = PrivateFolder.create()
    assert {path.name for path in parent.iterdir()} == {used.path.name, new.path.name}


def test_a_path_too_long_for_sockets_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("d" * LONGEST_SOCKET)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    folder = PrivateFolder.create()
    assert folder.path.parent == Path("/tmp")
    folder.remove()
