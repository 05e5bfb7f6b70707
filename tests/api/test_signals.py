"""Signals to a script that runs a scenario: Ctrl-C ends the run, SIGTERM the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fedlab

SCRIPT = """
import fedlab
run = fedlab.run(
    data={"name": "iris", "partition": {"name": "iid", "clients": 3}},
    model={"name": "mlp", "hidden": [4]}, rounds=100_000, evaluation={"every": 1000},
    engine="inline", path="run",
)
print("after it:", run.status, flush=True)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_round_with_all_saved(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(fedlab.__file__).parent.parent)},
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = tmp_path / "run" / "metrics.jsonl"
    until = time.monotonic() + 200
    while not lines.exists() or lines.read_text().count("\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=200)
    run = fedlab.load_run(tmp_path / "run")
    assert (run.status, run.summary["reason"]) == ("stopped", "interrupted")
    assert (run.path / "report.html").exists()
    if number == signal.SIGINT:
        assert (process.returncode, said) == (0, "after it: stopped\n")
    else:
        assert (process.returncode, said) == (-number, "")
