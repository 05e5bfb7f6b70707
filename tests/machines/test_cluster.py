"""A Ray cluster whose nodes die, join and lack things: the same bits, and a sentence for the rest.

Hosts are network namespaces where the machine allows it, and raylets beside each other elsewhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.machines.hosts import FEDLAB, MARK, Host, Hosts, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 300.0
SOURCES = [path for place in sys.path if (path := Path(place) / "fedlab" / "registry.py").exists()]
"""All of fedlab that Python finds: that which is tested, and one that is installed."""

SCENARIO = """
rounds = {rounds}
seed = 5
data = {{name = "digits", partition = {{name = "dirichlet", clients = 12, alpha = 1.0}}}}
model = {{name = "mlp"{model}}}
evaluation = {{federated = true}}
[client]
name = "where:Noted"
epochs = 1
seconds = {seconds}
hosts = {hosts}
"""
CLIENT = """
import os, time
from pathlib import Path
from pydantic import Field
from fedlab.algorithm.client import ClientAlgorithm, ClientSettings

class Noted(ClientAlgorithm):
    \"\"\"Takes its time, and leaves a note of where it was; waits for others' notes.\"\"\"

    class Settings(ClientSettings):
        seconds: float = Field(0.0, description="how long it takes")
        hosts: list[int] = Field([], description="how many must have trained, by round")

    def train(self, task):
        update = super().train(task)
        time.sleep(self.settings.seconds)
        notes = os.environ.get("FEDLAB_TEST_NOTES")
        if notes:
            with open(notes, "a") as file:
                file.write(f"{os.environ['MARK']} {task.round} {task.client}\\n")
            until = time.monotonic() + 240.0
            wanted = (self.settings.hosts + [0] * task.round)[task.round - 1]
            while len({line.split()[0] for line in open(notes)}) < wanted:
                assert time.monotonic() < until
                time.sleep(0.2)
        return update
""".replace("MARK", MARK)


class Case:
    """A scenario of three hosts, and its runs."""

    def __init__(
        self,
        hosts: Hosts,
        folder: Path,
        rounds: int,
        seconds: float,
        model: str,
        needed: Sequence[int],
    ) -> None:
        self.hosts, self.folder = hosts, folder
        self.own = folder / "own"
        self.own.mkdir()
        text = SCENARIO.format(rounds=rounds, seconds=seconds, model=model, hosts=list(needed))
        (self.own / "case.toml").write_text(text)
        (self.own / "where.py").write_text(CLIENT)

    def run(self, host: Host, *arguments: str, runs: str = "cluster") -> subprocess.Popen[str]:
        """Begin a run; each looks for cached features in a place of its own."""
        command = [*FEDLAB, "run", "own/case.toml", "--runs", runs, *arguments]
        cache = str(self.folder / f"cache-{runs}")
        return self.hosts.start(host, command, self.folder / f"{runs}.log", FEDLAB_CACHE=cache)

    def output(self, runs: str = "cluster") -> str:
        """Return what a run has printed."""
        return (self.folder / f"{runs}.log").read_text()

    def path(self, runs: str = "cluster") -> Path:
        """Return the run folder."""
        (found,) = (self.folder / runs).iterdir()
        return found

    def rounds(self, runs: str = "cluster") -> list[dict[str, Any]]:
        """Return the rounds that are done."""
        files = list((self.folder / runs).glob("*/metrics.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def weights(self, runs: str = "cluster") -> bytes:
        """Return the model that a run has ended with."""
        return (self.path(runs) / "model.safetensors").read_bytes()

    def inline(self) -> bytes:
        """Return the model of a run in one process."""
        keys = ["--set", "engine.name=inline", "--set", "client.seconds=0"]
        assert self.run(self.hosts.hosts[0], *keys, runs="inline").wait(SECONDS) == 0
        return self.weights("inline")

    def notes(self) -> list[tuple[str, int, int]]:
        """Return which host trained in which round which client."""
        lines = (self.folder / "notes").read_text().splitlines()
        return [(a, int(b), int(c)) for a, b, c in map(str.split, lines)]


@contextmanager
def case(
    hosts: Hosts,
    folder: Path,
    rounds: int = 2,
    seconds: float = 0.0,
    model: str = "",
    needed: Sequence[int] = (),
) -> Iterator[Case]:
    """Yield a case; what its nodes have run ends with it.

    ``needed`` says for each round how many hosts must have trained before a client of it ends.
    """
    before = len(hosts.hosts)
    try:
        yield Case(hosts, folder, rounds, seconds, model, needed)
    finally:
        for host in hosts.hosts[before:]:
            host.kill()
        for process in list(hosts.hosts[0].processes("fedlab")):
            subprocess.run(["kill", "-9", str(process)], check=False)


def address(hosts: Hosts) -> str:
    """Return the cluster's address."""
    return f"{hosts.hosts[0].address}:{hosts.port}"


def test_a_node_that_dies_and_one_that_joins_change_no_bit(hosts: Hosts, folder: Path) -> None:
    needed = [2, 2, 2, 2, 2, 2, 2, 3]
    with case(hosts, folder, rounds=8, seconds=0.5, needed=needed) as it:
        notes = {"FEDLAB_TEST_NOTES": str(folder / "notes")}
        dying, staying = hosts.host(), hosts.host()
        for node in (dying, staying):
            hosts.ray_node(node, **notes)
        run = it.run(hosts.hosts[0], "--cluster", address(hosts))
        wait_until(lambda: len(it.rounds()) > 2, SECONDS, "third round")
        dying.kill("raylet/raylet")
        joining = hosts.host()
        hosts.ray_node(joining, **notes)
        assert run.wait(SECONDS) == 0, it.output()
        trained = it.notes()
        assert it.weights() == it.inline()
    rounds = it.rounds()[1:]
    assert [line["failures"] for line in rounds] == [0] * 8
    assert [line["replies"] for line in rounds] == [12] * 8
    assert {mark for mark, _, _ in trained} == {node.mark for node in (dying, staying, joining)}
    assert it.output().count(" is gone: its clients are run again elsewhere") == 1
    assert it.output().count(" has joined, with room for 1 workers") == 1
    assert "raylet" not in it.output()


def test_a_run_that_has_lost_all_nodes_ends_with_a_sentence_and_goes_on_elsewhere(
    hosts: Hosts, folder: Path
) -> None:
    with case(hosts, folder, rounds=5, seconds=0.3) as it:
        only = hosts.host()
        hosts.ray_node(only)
        run = it.run(hosts.hosts[0], "--cluster", address(hosts))
        wait_until(lambda: len(it.rounds()) > 2, SECONDS, "third round")
        only.kill()
        assert run.wait(SECONDS) == 2
        last = it.output().strip().splitlines()[-1]
        assert "no node has been left to run clients for 60 s" in last
        assert f"fedlab resume {Path('cluster') / it.path().name}" in last
        command = [*FEDLAB, "resume", str(it.path()), "--set", "engine.name=inline"]
        resumed = hosts.start(hosts.hosts[0], command, folder / "resumed.log")
        assert resumed.wait(SECONDS) == 0, (folder / "resumed.log").read_text()
        assert it.weights() == it.inline()
    assert sum(line["failures"] for line in it.rounds()[1:]) == 0


def test_a_node_needs_neither_the_users_files_nor_the_weights_nor_the_cached_features(
    hosts: Hosts, folder: Path, separate: None
) -> None:
    model = ", pretrained = 'first.safetensors', trainable = 'head'"
    with case(hosts, folder, model=model) as it:
        save_first_weights(it.own / "first.safetensors")
        bare = hosts.host(hidden=[it.own])
        hosts.ray_node(bare)
        keys = ["--set", "engine.memory_per_worker=0.5"]
        run = it.run(hosts.hosts[0], "--cluster", address(hosts), *keys)
        assert run.wait(SECONDS) == 0, it.output()
        summary = json.loads((it.path() / "summary.json").read_text())
        assert summary["engine"]["feature_cache"] is True
        assert list((folder / "cache-cluster" / "features").glob("*.npy"))
        assert it.weights() == it.inline()
    assert sum(line["failures"] for line in it.rounds()[1:]) == 0


def test_large_data_are_used_where_a_node_has_the_same_and_travel_elsewhere(
    hosts: Hosts, folder: Path, separate: None
) -> None:
    with case(hosts, folder) as it:
        sizes = {}
        for name, hidden in {"same": [], "none": [installed("sklearn/datasets/data")]}.items():
            node = hosts.host(hidden=hidden)
            hosts.ray_node(node)
            code = (
                "import sys; from fedlab.engine.ray import cluster; cluster.LARGE = 0;"
                "data = cluster.ClusterRun._data;"
                "cluster.ClusterRun._data = lambda self: print('travels') or data(self);"
                "from fedlab.cli import main; main()"
            )
            keys = ["--runs", name, "--cluster", address(hosts)]
            command = [sys.executable, "-c", code, "run", "own/case.toml", *keys]
            run = hosts.start(hosts.hosts[0], command, folder / f"{name}.log")
            assert run.wait(SECONDS) == 0, it.output(name)
            sizes[name] = it.output(name).count("travels")
            assert it.weights(name) == it.weights("same")
            node.kill()
            time.sleep(10.0)
        assert it.weights("same") == it.inline()
    assert sizes == {"same": 0, "none": 1}


def test_a_node_without_fedlab_is_left_out_and_named(
    hosts: Hosts, folder: Path, separate: None
) -> None:
    with case(hosts, folder) as it:
        hidden = [path.parent for path in SOURCES]
        without, with_it = hosts.host(hidden=hidden), hosts.host()
        hosts.ray_node(without)
        run = it.run(hosts.hosts[0], "--cluster", address(hosts))
        assert run.wait(SECONDS) == 2
        assert f"({without.address}, " in it.output()
        assert "fedlab is not installed there" in it.output()
        hosts.ray_node(with_it)
        run = it.run(hosts.hosts[0], "--cluster", address(hosts), runs="second")
        assert run.wait(SECONDS) == 0, it.output("second")
        assert it.output("second").count("is left out: fedlab is not installed there") == 1


def test_a_machine_outside_the_cluster_is_told_what_to_do(
    hosts: Hosts, folder: Path, separate: None
) -> None:
    with case(hosts, folder) as it:
        outside = hosts.host(alone=True)
        since = time.monotonic()
        assert it.run(outside, "--cluster", address(hosts)).wait(SECONDS) == 2
        assert time.monotonic() - since < 60.0
        sentence = it.output().strip().splitlines()[-1]
        assert sentence.startswith("error: engine.address: this machine is no node of the Ray")
        assert f"ray start --address {address(hosts)} --num-cpus 0" in sentence


def test_a_cluster_with_a_token_takes_those_who_have_it(isolated: bool, folder: Path) -> None:
    token = folder / "token"
    token.write_text("0123456789abcdef" * 4)
    key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with Hosts(isolated) as hosts:
        hosts.ray_head(hosts.host(), cpus=1, **key)
        with case(hosts, folder) as it:
            arguments = ["--cluster", address(hosts)]
            assert it.run(hosts.hosts[0], *arguments, runs="stranger").wait(SECONDS) == 2
            assert "does not let this process in" in it.output("stranger")
            command = [*FEDLAB, "run", "own/case.toml", "--runs", "friend", *arguments]
            run = hosts.start(hosts.hosts[0], command, folder / "friend.log", **key)
            assert run.wait(SECONDS) == 0, it.output("friend")


def test_a_head_that_dies_ends_the_run_with_a_sentence(isolated: bool, folder: Path) -> None:
    with Hosts(isolated) as hosts:
        hosts.ray_head(hosts.host(), cpus=1)
        with case(hosts, folder, rounds=50, seconds=0.2) as it:
            run = it.run(hosts.hosts[0], "--cluster", address(hosts))
            wait_until(lambda: len(it.rounds()) > 1, SECONDS, "second round")
            hosts.hosts[0].kill("gcs_server")
            assert run.wait(SECONDS) == 2, it.output()
        assert "the head of the Ray cluster has not answered" in it.output()
        assert "fedlab resume" in it.output()


def save_first_weights(path: Path) -> None:
    """Write weights that the case's model may start from."""
    import torch
    from safetensors.torch import save_file

    from fedlab.models.network import build_network
    from fedlab.scenario.parts import load_federation
    from tests.shared import scenario_with

    scenario = scenario_with()
    task = load_federation(scenario).dataset.task
    state = build_network(scenario.model, task, 77).model.module.state_dict()
    save_file({name: torch.clone(tensor) for name, tensor in state.items()}, path)


def installed(folder: str) -> Path:
    """Return a folder of an installed package."""
    package, _, below = folder.partition("/")
    module = __import__(package)
    assert module.__file__ is not None
    return Path(module.__file__).parent / below


def test_the_pages_commands_make_a_cluster_of_three_machines(folder: Path, separate: None) -> None:
    page = (Path(__file__).parents[2] / "docs" / "many-machines.md").read_text()
    lines = [line.partition("  #") for line in page.splitlines() if "  # " in line]
    commands = {after.strip(): before.strip() for before, _, after in lines}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / ".ray" / "auth_token")}
    places = {"HOME": str(folder), "RAY_TMPDIR": "/tmp"}
    rays = Path("/tmp/ray")
    rays.mkdir(exist_ok=True)

    def typed(host: Host, where: str, log: str, **more: str) -> None:
        command = commands[where].replace("HEAD", hosts.hosts[0].address)
        bare = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin"}
        run = hosts.start(host, ["sh", "-c", command], folder / log, **places, **bare, **more)
        assert run.wait(SECONDS) == 0, (folder / log).read_text()

    with Hosts(isolated=True) as hosts:
        head, *others = [hosts.host(own=[rays]) for _ in range(3)]
        typed(head, "writes ~/.ray/auth_token", "token.log")
        typed(head, "on the head", "head.log", **token)
        for number, other in enumerate(others):
            typed(other, "on each of the others", f"{number}.log", **token)
        typed(others[0], "on any of them", "run.log", **token)
    assert "engine ray × 4" in (folder / "run.log").read_text()
    assert "test accuracy" in (folder / "run.log").read_text()
