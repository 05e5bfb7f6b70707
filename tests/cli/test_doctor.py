"""``fedlab doctor``: exit code 0 if fedlab can run, and else what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def test_a_working_installation_can_run(typed) -> None:
    shown = typed("doctor")
    assert (shown.code, shown.errors) == (0, [])
    assert shown.out.rstrip().endswith("fedlab can run.")
    assert "device cpu" in shown.out


def test_what_is_missing_is_named_with_exit_code_1(typed, desk, monkeypatch) -> None:
    (desk / "file").write_text("")
    monkeypatch.setenv("FEDLAB_CACHE", str(desk / "file"))
    shown = typed("doctor")
    assert shown.code == 1
    assert "cache: choose another with FEDLAB_CACHE" in shown.out
    assert shown.out.rstrip().endswith("fedlab cannot run: cache")


@pytest.mark.slow
def test_deep_starts_ray(desk) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fedlab", "doctor", "--deep"],
        env=dict(os.environ),
        cwd=desk,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "started, with" in done.stdout
