"""A federation of three sites over TLS: parties end and come back, and strangers get nowhere.

Parties are on hosts of their own, network namespaces where the machine allows it; elsewhere they
are processes of one machine.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris

from fedlab.deploy.keys import make_key
from tests.machines.hosts import FEDLAB, Host, Hosts, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 240.0
SITES = ("north", "south", "east")
COLUMNS = ("sl", "sw", "pl", "pw")
SCENARIO = """
rounds = 4
seed = 1
[data]
name = "sites"
kind = "table"
sites = 3
classes = ["setosa", "versicolor", "virginica"]
client_test = 0.2
statistics = "given"
[data.columns]
sl = { mean = 5.8, deviation = 0.8 }
sw = { mean = 3.0, deviation = 0.4 }
pl = { mean = 3.7, deviation = 1.7 }
pw = { mean = 1.2, deviation = 0.7 }
[model]
name = "linear"
"""
STRANGER = """
import sys
import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto import control_pb2 as control, fleet_pb2 as fleet
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

address, ca = sys.argv[1:]
key = ec.generate_private_key(ec.SECP256R1())
public = public_key_to_bytes(key.public_key())
submit = ControlHttpClient.from_server_address(address, False, ca, [])
site = FleetHttpClient.from_server_address(
    address, False, ca, interceptors=[NodeAuthHttpInterceptor(key, key.public_key())]
)
calls = {
    "submit": lambda: submit.StartRun(control.StartRunRequest()),
    "list": lambda: submit.ListRuns(control.ListRunsRequest()),
    "sites": lambda: submit.ListNodes(control.ListNodesRequest()),
    "stop": lambda: submit.StopRun(control.StopRunRequest(run_id=1)),
    "log": lambda: list(submit.StreamLogs(control.StreamLogsRequest(run_id=1))),
    "register": lambda: submit.RegisterNode(control.RegisterNodeRequest(public_key=public)),
    "join": lambda: site.RegisterNode(fleet.RegisterNodeFleetRequest(public_key=public)),
    "activate": lambda: site.ActivateNode(
        fleet.ActivateNodeRequest(public_key=public, heartbeat_interval=30)
    ),
}
for name, call in calls.items():
    try:
        call()
        print(name, "answered")
    except httpx.HTTPStatusError as error:
        print(name, error.response.status_code)
"""


@dataclass
class Federation:
    """A running federation.

    Attributes:
        hosts: Where its parties are.
        server: The server's host.
        sites: The sites' hosts.
        stranger: A host that is nobody's.
        folder: The parties' folders.
    """

    hosts: Hosts
    server: Host
    sites: dict[str, Host]
    stranger: Host
    folder: Path

    @property
    def address(self) -> str:
        """Return where sites reach the server."""
        return f"{self.server.address}:{self.hosts.port}"

    @property
    def server_file(self) -> Path:
        """Return the server's file."""
        return self.folder / "server" / "server.toml"

    def start_server(self) -> subprocess.Popen[str]:
        """Start the server, and wait until it answers."""
        log = self.folder / "server.log"
        command = [*FEDLAB, "deploy", "server", str(self.server_file)]
        process = self.hosts.start(self.server, command, log)
        wait_until(lambda: "Serving sites" in log.read_text(), SECONDS, "server")
        return process

    def start_site(self, name: str) -> subprocess.Popen[str]:
        """Start a site."""
        file = self.folder / f"site-{name}" / f"site-{name}.toml"
        command = [*FEDLAB, "deploy", "site", str(file)]
        return self.hosts.start(self.sites[name], command, self.folder / f"{name}.log")

    def submit(self, *arguments: str) -> subprocess.Popen[str]:
        """Submit a run."""
        command = [*FEDLAB, "deploy", "run", *arguments, "--server", str(self.server_file)]
        return self.hosts.start(self.server, command, self.folder / "run.log")

    def rounds(self, run: str) -> list[dict[str, Any]]:
        """Return the lines of a run's rounds."""
        metrics = self.folder / "server" / "runs" / run / "metrics.jsonl"
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        return [line for line in map(json.loads, lines) if line["round"] > 0]


@pytest.fixture(scope="module")
def federation(isolated: bool) -> Iterator[Federation]:
    """Yield a server and three sites that run."""
    with Hosts(isolated) as hosts:
        server = hosts.host()
        sites = {name: hosts.host() for name in SITES}
        folder = hosts.folder / "federation"
        made = Federation(hosts, server, sites, hosts.host(), folder)
        init = [*FEDLAB, "deploy", "init", str(folder), "--sites", ",".join(SITES), "--with-keys"]
        init += ["--host", server.address, "--port", str(hosts.port)]
        subprocess.run(init, check=True)
        iris = load_iris()
        for number, name in enumerate(SITES):
            with (folder / f"site-{name}" / "data.csv").open("w") as file:
                rows = csv.writer(file)
                rows.writerow([*COLUMNS, "target"])
                for x, y in list(zip(iris.data, iris.target, strict=True))[number::3]:
                    rows.writerow([*x, iris.target_names[y]])
        (folder / "scenario.toml").write_text(SCENARIO)
        made.start_server()
        for name in SITES:
            made.start_site(name)
        yield made


def test_a_scenario_runs_at_all_sites(federation: Federation) -> None:
    run = federation.submit(str(federation.folder / "scenario.toml"), "--name", "first")
    assert run.wait(SECONDS) == 0, (federation.folder / "run.log").read_text()
    assert [line["replies"] for line in federation.rounds("first")] == [3] * 4
    shown = subprocess.run(
        [*federation.server.prefix, *FEDLAB, "deploy", "status", str(federation.server_file)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [f"site  {name}  online" in shown for name in SITES] == [True] * 3
    assert "completed" in shown


def test_a_scenario_that_does_not_fit_ends_with_its_sentence(federation: Federation) -> None:
    scenario = str(federation.folder / "scenario.toml")
    run = federation.submit(scenario, "--set", "data.columns.age={mean=1.0,deviation=1.0}")
    assert run.wait(SECONDS) == 2
    log = (federation.folder / "run.log").read_text()
    assert "column 'age' is missing" in log
    assert "Traceback" not in log


def test_a_stranger_who_trusts_the_ca_may_do_nothing(federation: Federation) -> None:
    ca = federation.folder / "site-north" / "ca.pem"
    asked = [*federation.stranger.prefix, sys.executable, "-c", STRANGER]
    answers = subprocess.run(
        [*asked, federation.address, str(ca)], capture_output=True, text=True, check=True
    ).stdout.split()
    found = dict(zip(answers[::2], answers[1::2], strict=True))
    assert len(found) == 8
    assert set(found.values()) == {"403", "404"}
    assert {found[name] for name in ("submit", "list", "sites", "stop", "register")} == {"403"}


def test_a_client_without_encryption_gets_no_answer(federation: Federation) -> None:
    text = f"import httpx; httpx.get('http://{federation.address}/health')"
    asked = [*federation.stranger.prefix, sys.executable, "-c", text]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert found.returncode != 0
    assert "RemoteProtocolError" in found.stderr or "ReadError" in found.stderr


def test_a_site_whose_key_is_not_registered_is_told_so(federation: Federation) -> None:
    folder = federation.folder / "site-west"
    folder.mkdir()
    given = (federation.folder / "site-north" / "site-north.toml").read_text()
    (folder / "site-west.toml").write_text(given.replace('name = "north"', 'name = "west"'))
    shutil.copyfile(federation.folder / "site-north" / "ca.pem", folder / "ca.pem")
    shutil.copyfile(federation.folder / "site-north" / "data.csv", folder / "data.csv")
    make_key(folder / "site.key", "west")
    command = [*FEDLAB, "deploy", "site", str(folder / "site-west.toml")]
    log = federation.folder / "west.log"
    assert federation.hosts.start(federation.stranger, command, log).wait(SECONDS) == 2
    assert "the server does not know this site's key" in log.read_text()
    assert not list(federation.stranger.processes("fedlab.deploy"))


def test_a_site_that_is_killed_and_comes_back_takes_part_again(federation: Federation) -> None:
    scenario = str(federation.folder / "scenario.toml")
    run = federation.submit(scenario, "--rounds", "400", "--name", "killed")
    wait_until(lambda: len(federation.rounds("killed")) >= 2, SECONDS, "rounds")
    federation.sites["south"].kill()
    alone = len(federation.rounds("killed"))
    federation.start_site("south")

    def is_back() -> bool:
        # One that is back in time answers what it was asked when it was killed.
        since = [line["replies"] for line in federation.rounds("killed")[alone:]]
        return since[-3:] == [3, 3, 3]

    wait_until(is_back, SECONDS, "site that is back")
    told = (federation.folder / "south.log").read_text()
    assert told.count("takes part") == 1
    run.send_signal(signal.SIGINT)
    assert run.wait(SECONDS) == 130
    assert "ends after this round" in (federation.folder / "run.log").read_text()


def test_a_run_goes_on_after_the_server_was_killed(federation: Federation) -> None:
    scenario = str(federation.folder / "scenario.toml")
    federation.submit(scenario, "--rounds", "400", "--name", "lost")
    wait_until(lambda: len(federation.rounds("lost")) >= 2, SECONDS, "rounds")
    first = next(p for p in federation.server.processes("fedlab\0deploy\0server"))
    subprocess.run(["kill", "-9", str(first)], check=True)
    wait_until(
        lambda: not list(federation.server.processes("fedlab.deploy")), SECONDS, "end of the others"
    )
    done = len(federation.rounds("lost"))
    federation.start_server()
    folder = str(federation.folder / "server" / "runs" / "lost")
    run = federation.submit(folder, "--resume", "--rounds", str(done + 2))
    assert run.wait(SECONDS) == 0, (federation.folder / "run.log").read_text()
    assert [line["round"] for line in federation.rounds("lost")] == [*range(1, done + 3)]


def test_parties_end_whole_at_a_signal(federation: Federation) -> None:
    for host in (*federation.sites.values(), federation.server):
        for first in list(host.processes("fedlab\0deploy")):
            subprocess.run(["kill", "-TERM", str(first)], check=True)
    for host in (*federation.sites.values(), federation.server):
        wait_until(lambda host=host: not list(host.processes()), SECONDS, "end")
    assert not (federation.folder / "server" / "state" / "entrance.json").exists()
