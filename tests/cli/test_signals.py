"""A command that a signal has ended says which in its exit code, as programs of a shell do."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_exit_code_names_the_signal(tmp_path: Path, number: signal.Signals) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "fedlab", "ui", "--no-browser", "--port", "0", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert waiting.stdout is not None
        assert "Ctrl-C ends" in waiting.stdout.readline()
        waiting.send_signal(number)
        _, complaints = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
    assert waiting.returncode == 128 + number
    assert "Traceback" not in complaints
