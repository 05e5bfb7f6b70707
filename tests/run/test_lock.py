from __future__ import annotations

import os

from fedlab.files import LOCK_HOLDER
from fedlab.run.lock import FolderLock, is_written


def test_a_folder_is_written_as_long_as_its_lock_is_held(tmp_path) -> None:
    assert is_written(tmp_path) == ""
    with FolderLock(tmp_path):
        for _ in range(2):
            assert is_written(tmp_path).startswith(f"process {os.getpid()} on ")
    assert is_written(tmp_path) == ""


def test_what_a_killed_process_left_behind_says_nothing(tmp_path) -> None:
    with FolderLock(tmp_path):
        left = (tmp_path / LOCK_HOLDER).read_text()
    (tmp_path / LOCK_HOLDER).write_text(left)
    assert is_written(tmp_path) == ""
    (tmp_path / LOCK_HOLDER).write_text("process 99999999999999999999 on here\n")
    assert is_written(tmp_path) != ""  # of another machine only its word is known


def test_without_a_list_of_locks_a_living_process_is_believed(tmp_path, monkeypatch) -> None:
    with FolderLock(tmp_path):
        left = (tmp_path / LOCK_HOLDER).read_text()
    (tmp_path / LOCK_HOLDER).write_text(left)
    monkeypatch.setattr("fedlab.run.lock.LOCKS", tmp_path / "none")
    assert is_written(tmp_path) == left.strip()
