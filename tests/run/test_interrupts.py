"""Signals end a run after the round, with all saved, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomli_w

from tests.shared import raw_with

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")

COMMAND = "import sys; from fedlab.cli import script; sys.argv[0] = 'fedlab'; script()"
PROGRAM = [sys.executable, "-c", COMMAND]
LONG = {
    "rounds": 100_000,
    "data": {"name": "iris"},
    "model": {"hidden": [4]},
    "evaluation": {"every": 1000},
}


class Started:
    """A run in a process of its own, in a session of its own, marked by its environment."""

    def __init__(self, folder: Path, engine: str, *words: str) -> None:
        self.mark = f"FEDLAB_TEST_MARK={uuid.uuid4()}"
        self.temporary = folder / "t"
        self.temporary.mkdir()
        self.runs = folder / "runs"
        scenario = folder / "long.toml"
        scenario.write_text(tomli_w.dumps(raw_with(LONG, engine={"name": engine})))
        name, value = self.mark.split("=")
        self.output = folder / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [
                    *words,
                    sys.executable,
                    "-c",
                    COMMAND,
                    "run",
                    str(scenario),
                    "--runs",
                    str(self.runs),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, name: value, "TMPDIR": str(self.temporary)},
                # The tests themselves may run under nohup, which children inherit.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )

    def wait_for_rounds(self, count: int = 2) -> None:
        """Wait until so many rounds are recorded."""
        wait_for(lambda: self.process.poll() is not None or self.rounds() >= count)
        assert self.process.poll() is None, self.output.read_text()

    def rounds(self) -> int:
        return sum(path.read_text().count("\n") for path in self.runs.glob("*/metrics.jsonl"))

    def summary(self) -> dict[str, object]:
        (path,) = self.runs.glob("*/summary.json")
        return dict(json.loads(path.read_text()))

    def left(self) -> list[str]:
        """Return what is left of it: processes, temporary files, shared memory."""
        found = [str(path) for path in self.temporary.iterdir()]
        found += map(str, Path("/dev/shm").glob(f"fedlab-{self.process.pid}-*"))
        for place in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in place.read_bytes():
                    found.append((place.parent / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder whose path leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="f", dir="/tmp") as path:
        yield Path(path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("engine", "number"),
    [
        ("inline", signal.SIGINT),
        ("inline", signal.SIGHUP),
        ("ray", signal.SIGTERM),
    ],
)
def test_a_signal_ends_the_run_after_the_round(
    folder: Path, engine: str, number: signal.Signals
) -> None:
    started = Started(folder, engine)
    started.wait_for_rounds()
    # As a supervisor or a closed terminal does: to all processes of the session that listen.
    os.killpg(started.process.pid, number)
    assert started.process.wait(240) == 128 + number
    told = started.output.read_text()
    (run,) = started.runs.iterdir()
    assert f"Resume: fedlab resume {run}" in told.replace("\n", "")
    assert "Traceback" not in told
    assert (started.summary()["status"], started.summary()["reason"]) == ("stopped", "interrupted")
    assert started.summary()["rounds"] == started.rounds() - 1
    assert (run / "model.safetensors").exists()
    wait_for(lambda: started.left() == [])


@pytest.mark.timeout(600)
def test_a_run_under_nohup_outlives_its_terminal(folder: Path) -> None:
    started = Started(folder, "inline", "nohup")
    started.wait_for_rounds()
    os.killpg(started.process.pid, signal.SIGHUP)
    started.wait_for_rounds(started.rounds() + 2)
    os.killpg(started.process.pid, signal.SIGTERM)
    assert started.process.wait(240) == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_it_leaves_no_process_and_no_file(folder: Path) -> None:
    started = Started(folder, "ray")
    started.wait_for_rounds()
    started.process.kill()
    started.process.wait()
    wait_for(lambda: started.left() == [])
