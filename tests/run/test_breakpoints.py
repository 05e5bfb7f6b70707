"""In one process a debugger stops in clients, and leaving it ends the run."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from tests.shared import raw_with

STOPPING = """
from fedlab.algorithm.client import ClientAlgorithm


class Stopping(ClientAlgorithm):
    '''Stops in the debugger.'''

    def train(self, task):
        breakpoint()
        return super().train(task)
"""
COMMAND = "import sys; from fedlab.cli import script; sys.argv[0] = 'fedlab'; script()"


def words(folder: Path) -> list[str]:
    (folder / "stopping.py").write_text(STOPPING)
    changed = raw_with(
        {"client": {"name": "stopping:Stopping"}, "rounds": 1}, model={"hidden": [4]}
    )
    changed["engine"]["vectorised"] = False
    (folder / "stopping.toml").write_text(tomli_w.dumps(changed))
    return [sys.executable, "-c", COMMAND, "run", "stopping.toml"]


@pytest.mark.timeout(200)
def test_the_debugger_stops_in_each_client_and_the_run_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        words(tmp_path),
        cwd=tmp_path,
        input="p 'client', task.client\nc\n" * 3,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    for client in range(3):
        assert f"('client', {client})" in done.stdout
    assert list(tmp_path.glob("runs/*/summary.json"))


@pytest.mark.timeout(200)
def test_on_a_terminal_the_bars_give_way_and_leaving_ends_the_run(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        words(tmp_path), cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    said = b""
    while not said.endswith(b"(Pdb) "):
        said += os.read(ours, 4096)
    quiet, _, _ = select.select([ours], [], [], 1.5)
    assert not quiet, os.read(ours, 4096)
    os.write(ours, b"q\n")
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    assert process.wait(60) == 130
    assert b"-> breakpoint()" in said or b"return super().train(task)" in said
    assert b"_stop_at_breakpoint" not in said
    text = said.decode().replace("\r\n", " ")
    assert "Resume: fedlab resume" in text
    assert "Traceback" not in text
