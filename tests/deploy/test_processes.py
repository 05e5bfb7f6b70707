from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlab.deploy.processes import (
    Processes,
    flower_environment,
    free_port,
    private_folder,
    replace_secret,
)

WAITING = """
import signal, sys, time
from fedlab.deploy.processes import end_with_party
end_with_party()
signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
print("ready", flush=True)
time.sleep(60)
"""


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    (tmp_path / "waiting.py").write_text(WAITING)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    return Processes(tmp_path, {**flower_environment(tmp_path), "PYTHONPATH": path})


def test_a_process_writes_its_log_and_ends_at_a_signal(processes: Processes) -> None:
    number = processes.start("first", "waiting")
    wait_until(lambda: processes.lines_of("first", lambda line: line == "ready") != [])
    assert processes.is_running("first")
    processes.end()
    assert not Path(f"/proc/{number}").exists()
    assert "terminated" in processes.log_of("first").read_text()


def test_only_lines_since_the_start_are_read(processes: Processes) -> None:
    processes.log_of("first").write_text("ready\n")
    processes.start("first", "waiting")
    wait_until(lambda: processes.lines_of("first", lambda line: line == "ready") == ["ready"])
    processes.end()


def test_news_are_each_whole_line_once(processes: Processes) -> None:
    log = processes.log_of("first")
    log.write_text("before its start\n")
    processes.start("first", "waiting")
    wait_until(lambda: processes.news_of("first") == ["ready"])
    for written, news in {"on": [], "e\ntwo\nthr": ["one", "two"], "ee\n": ["three"]}.items():
        with log.open("a") as file:
            file.write(written)
        assert processes.news_of("first") == news
    assert processes.news_of("first") == []
    processes.end()


def test_processes_end_with_the_first_one_however_that_ends(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(WAITING)
    text = (
        "import time; from pathlib import Path; from fedlab.deploy.processes import *\n"
        f"party = Processes(Path({str(tmp_path)!r}), flower_environment(Path('.')))\n"
        "print(party.start('child', 'waiting'), flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    first = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert first.stdout is not None
    child = int(first.stdout.readline())
    wait_until(lambda: "ready" in (tmp_path / "child.log").read_text())
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_until(lambda: "terminated" in (tmp_path / "child.log").read_text())
    wait_until(lambda: not Path(f"/proc/{child}/exe").exists())


def test_flower_reports_nothing_and_opens_no_further_ports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLWR_INTERNAL_GRPC_CONTROL_API", "1")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    environment = flower_environment(tmp_path)
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FLWR_HOME"] == str(tmp_path)
    assert not {"FLWR_INTERNAL_GRPC_CONTROL_API", "FORWARDED_ALLOW_IPS"} & set(environment)


def test_secrets_and_their_folder_are_their_owners_alone(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "state")
    (folder / "secret").touch(mode=0o644)
    replace_secret(folder / "secret", b"new")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert (folder / "secret").read_bytes() == b"new"


def test_a_free_port_can_be_listened_on() -> None:
    assert 1024 <= free_port() <= 65535
