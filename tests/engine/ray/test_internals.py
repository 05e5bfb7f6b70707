"""What fedlab changes in Ray is still there to be changed, and Ray runs with the change."""

import subprocess
import sys

import pytest
from ray._private import services
from ray._private.node import Node

from fedlab.engine.ray.internals import ATTENDANTS, light_command, lightly

START = """
from pathlib import Path
from fedlab.engine.ray import start as ray_process

ray_process.start_early({"workers": 1})
ray, _ = ray_process.ensure_started(None)
def look():
    import os, sys

    return 41 + 1, os.nice(0), sys.argv[0]

answer, gives_way, named = ray.get(ray.remote(look).remote())
session = ray._private.worker._global_node.get_session_dir_path()
lines = {p.parent: p.read_text() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()}
running = [line for line in lines.values() if session in line]
(raylet,) = (place for place, line in lines.items() if f"raylet_socket_name={session}" in line)
children = "".join(p.read_text() for p in raylet.glob("task/*/children")).split()
print(answer, gives_way - __import__("os").nice(0), named.endswith("default_worker.py"))
for program in ("monitor.py", "log_monitor.py", "dashboard.py"):
    print(any(program in line for line in running))
for child in children:
    print("fedlab/engine/ray/agent.py" in lines.get(Path("/proc", child), ""))
"""
RAYLET = [
    "raylet",
    "--session_dir=/session",
    "--node_id=n1",
    "--python_worker_command=python setup.py worker.py --port=PLACEHOLDER",
    "--dashboard_agent_command=python agent.py",
    "--runtime_env_agent_command=python main.py",
    "--head",
]


def test_what_is_changed_is_rays_own_and_comes_back() -> None:
    present = {name: vars(Node)[name] for name in ATTENDANTS}
    start = services.start_ray_process
    with lightly(None):
        assert all(vars(Node)[name] is not present[name] for name in ATTENDANTS)
        assert services.start_ray_process is not start
    assert {name: vars(Node)[name] for name in ATTENDANTS} == present
    assert services.start_ray_process is start


def test_a_raylet_starts_stand_ins_and_forks_its_workers() -> None:
    light = dict(part.partition("=")[::2] for part in light_command(RAYLET, "/fork/socket"))
    assert light["--dashboard_agent_command"].endswith("/session/dashboard_agent_listen_port_n1")
    assert "ray/agent.py" in light["--runtime_env_agent_command"]
    assert light["--python_worker_command"].endswith(
        "fork_client.py /fork/socket setup.py worker.py --port=PLACEHOLDER"
    )
    assert list(light) == [part.partition("=")[0] for part in RAYLET]


def test_without_a_fork_server_workers_start_as_ever() -> None:
    assert RAYLET[3] in light_command(RAYLET, None)


@pytest.mark.parametrize("command", [["gcs_server", "--session_dir=/s"], RAYLET[:3]])
def test_other_commands_stay_as_they_are(command: list[str]) -> None:
    assert light_command(command, "/fork/socket") == command


def test_ray_runs_without_attendants_and_with_forked_workers_that_do_not_give_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, timeout=300, check=True
    )
    answered, *told = done.stdout.splitlines()
    assert answered == "42 0 True"
    assert told == [*["False"] * len(ATTENDANTS), "True", "True"]
