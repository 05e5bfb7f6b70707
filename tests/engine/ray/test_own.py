"""A Ray of fedlab's own answers to the run that started it, and to nobody else."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")

RUN = """
import json, os, sys
from fedlab.engine.ray import start
from fedlab.engine.ray.internals import started_by

start.start_early({"workers": 1})
ray, (worker,) = start.ensure_started(None)
own = start.own_ray()
assert "RAY_AUTH_TOKEN" not in os.environ
address = ray.get_runtime_context().gcs_address
processes = [*started_by(ray).values(), os.getpid(), ray.get(worker.ping.remote())]
print(json.dumps([address, str(own.folder.path), processes]), flush=True)
sys.stdin.read()
"""
OUTSIDER = """
import sys
from ray._raylet import GcsClient

client = GcsClient(address=sys.argv[1])
client.internal_kv_put(b"mine", b"1", True, None, timeout=10)
print("it obeyed")
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str, Path, list[int]]]:
    """Yield a process with a Ray of its own, Ray's address, the folder, all processes."""
    errors = tmp_path_factory.mktemp("own") / "errors"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text()
        address, folder, processes = json.loads(line)
        yield process, address, Path(folder), processes
        process.kill()
        process.communicate()


def outsider(address: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Give Ray an order from a process that does not belong to the run."""
    foreign = {name: v for name, v in os.environ.items() if not name.startswith("RAY_AUTH")}
    return subprocess.run(
        [sys.executable, "-c", OUTSIDER, address],
        env={**foreign, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "token",
    [{}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}],
    ids=["no token", "another token"],
)
def test_a_process_that_has_no_token_is_refused(
    running: tuple[Any, str, Path, list[int]], token: dict[str, str]
) -> None:
    done = outsider(running[1], **token)
    assert "it obeyed" not in done.stdout
    assert "token is missing or incorrect" in done.stderr


def test_the_outsider_would_be_obeyed_with_the_runs_token(
    running: tuple[Any, str, Path, list[int]],
) -> None:
    raylet = running[3][1]
    held = Path(f"/proc/{raylet}/environ").read_bytes().decode().split("\0")
    token = dict(line.split("=", 1) for line in held if line.startswith("RAY_AUTH"))
    assert outsider(running[1], **token).stdout == "it obeyed\n"


def listening(processes: list[int]) -> dict[str, int]:
    """Return the addresses, in hexadecimal, on which processes listen, and their ports."""
    sockets = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            sockets.add(os.readlink(descriptor).removeprefix("socket:[").rstrip("]"))
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in sockets:
                address, port = columns[1].split(":")
                found[f"{address}:{port}"] = int(port, 16)
    return found


def test_every_process_listens_on_the_loopback_address_alone(
    running: tuple[Any, str, Path, list[int]],
) -> None:
    ports = listening(running[3])
    assert int(running[1].split(":")[1]) in ports.values()
    assert len(ports) >= 4
    loopback = ("0100007F", "0000000000000000FFFF00000100007F")
    assert {name.split(":")[0] for name in ports} <= set(loopback)


def test_no_other_user_may_enter_the_folder_of_its_sockets(
    running: tuple[Any, str, Path, list[int]],
) -> None:
    folder = running[2]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    sockets = [path for path in folder.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]
    assert {path.name for path in sockets} >= {"fork", "raylet", "plasma_store"}


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


def test_killed_it_leaves_no_process_and_no_folder(
    running: tuple[Any, str, Path, list[int]],
) -> None:
    process, _, folder, processes = running
    process.kill()
    wait_for(lambda: not any(map(is_alive, processes)) and not folder.exists())
