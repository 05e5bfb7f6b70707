"""A command that a signal has ended says which in its exit code, as programs of a shell do."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest


@contextmanager
def waiting(folder: Path, number: signal.Signals, handler: int) -> Iterator[subprocess.Popen[str]]:
    """Start a command that waits, which finds a signal handled so, whatever these tests do."""
    command = [sys.executable, "-m", "fedlab", "ui", "--no-browser", "--port", "0", str(folder)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, number, handler),
    )
    try:
        assert process.stdout is not None
        assert "Ctrl-C ends" in process.stdout.readline()
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_exit_code_names_the_signal(tmp_path: Path, number: signal.Signals) -> None:
    with waiting(tmp_path, number, signal.SIG_DFL) as process:
        process.send_signal(number)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert "Traceback" not in complaints


def test_what_is_ignored_ends_nothing(tmp_path: Path) -> None:
    with waiting(tmp_path, signal.SIGHUP, signal.SIG_IGN) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
