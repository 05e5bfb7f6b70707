"""Workers forked off a process that has imported torch: as Ray would have started them, at once."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlab.engine.ray import agent as ray_agent
from fedlab.engine.ray import fork_client, fork_server

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it forks")

SERVE = """
import contextlib, io, sys
from fedlab.engine.ray import fork_server

# A run's output may be caught in a buffer, as a notebook or a test does; its workers' is not.
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    server = fork_server.start()
print(server.folder.fork_socket, flush=True)
sys.stdin.read()
"""
SPAWN = """
import sys, threading
from fedlab.engine.ray import fork_server

threading.Thread(target=threading.Event().wait, daemon=True).start()
server = fork_server.spawn()
print(server.folder.fork_socket, flush=True)
sys.stdin.read()
"""
TELL = """
import json, os, sys
assert __name__ == "__main__"
print(json.dumps([sys.argv, os.environ.get("COLOUR"), os.getcwd(), "torch" in sys.modules,
                  "ray" in sys.modules, os.getppid()]), flush=True)
print("to the other stream", file=sys.stderr)
raise SystemExit(3)
"""


@pytest.fixture(scope="module", params=[SERVE, SPAWN], ids=["forked off", "spawned"])
def server(request: pytest.FixtureRequest) -> object:
    command = [sys.executable, "-c", request.param]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.stdin.close() if process.stdin else None


def ask(socket: str, launcher: Path, *arguments: str, folder: Path) -> tuple[str, str]:
    """Ask for a program as a raylet does; return what it printed on both streams."""
    out, err = folder / "out", folder / "err"
    with out.open("w") as to_out, err.open("w") as to_err:
        subprocess.run(
            [sys.executable, "-I", "-S", fork_client.__file__, socket, str(launcher), *arguments],
            env={**os.environ, "COLOUR": "green"},
            cwd=folder,
            stdout=to_out,
            stderr=to_err,
            check=True,
            timeout=60,
        )
        wait_for(lambda: "stream" in err.read_text())
    return out.read_text(), err.read_text()


def wait_for(condition: object) -> None:
    until = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


def test_a_forked_process_has_torch_but_not_ray(
    server: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, socket = server
    program = tmp_path / "program.py"
    program.write_text(TELL)
    told = ("--serialized-runtime-env-context={}", "--language=PYTHON", "--worker-id=7")
    out, err = ask(socket, tmp_path / "never.py", str(program), *told, folder=tmp_path)
    arguments, colour, folder, has_torch, has_ray, parent = json.loads(out)
    assert arguments == [str(program), "--worker-id=7"]
    assert (colour, folder) == ("green", str(tmp_path))
    assert (has_torch, has_ray) == (True, False)
    assert parent not in (process.pid, os.getpid())
    assert err == "to the other stream\n"


@pytest.mark.parametrize("reason", ["no server", "an environment of its own"])
def test_without_a_server_a_worker_starts_as_ray_starts_it(
    server: tuple[subprocess.Popen[str], str], tmp_path: Path, reason: str
) -> None:
    launcher = tmp_path / "launcher.py"
    launcher.write_text("import sys; print(sys.argv[1:]); print('stream', file=sys.stderr)")
    wants = reason == "an environment of its own"
    context = '--serialized-runtime-env-context={"env_vars": {"A": "1"}}' if wants else "--x=1"
    socket = server[1] if wants else str(tmp_path / "nobody")
    out, _ = ask(socket, launcher, "program.py", context, folder=tmp_path)
    assert out.strip() == str(["program.py", context])


@pytest.mark.parametrize("started", [SERVE, SPAWN], ids=["forked off", "spawned"])
def test_the_server_ends_with_the_process_that_started_it(started: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", started], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        assert path.exists()
        process.kill()
        wait_for(lambda: not path.parent.exists())


def test_a_process_with_threads_is_not_forked() -> None:
    import threading

    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        assert fork_server.start() is None
    finally:
        release.set()
        thread.join()


def test_a_spawned_server_is_ended_even_while_it_still_imports() -> None:
    server = fork_server.spawn()
    assert server is not None
    assert server.folder.fork_socket.exists()
    server.end()
    server.folder.remove()
    assert server.spawned is not None
    assert server.spawned.returncode is not None


def test_an_agents_stand_in_ends_with_the_raylet(tmp_path: Path) -> None:
    files = [tmp_path / "a_port", tmp_path / "another"]
    raylet = subprocess.Popen(
        ["sh", "-c", '"$@" & echo $!; read line', "sh", sys.executable, "-I", "-S",
         ray_agent.__file__, *map(str, files)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert raylet.stdout is not None
    agent = int(raylet.stdout.readline())
    wait_for(lambda: all(file.exists() for file in files))
    assert [file.read_text() for file in files] == ["-1", "-1"]
    raylet.kill()
    raylet.communicate()
    wait_for(lambda: not Path(f"/proc/{agent}").exists() or is_zombie(agent))


def is_zombie(number: int) -> bool:
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
