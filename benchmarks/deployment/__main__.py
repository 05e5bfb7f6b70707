"""What each way of distributing clients costs: ``python -m benchmarks.deployment``.

The same scenario of two clients runs in one process, in one worker of Ray, in two workers of a
machine, on a cluster of two nodes with one worker each, and deployed: a server and two sites as
``fedlab deploy`` starts them, encrypted, with keys, each in its own processes. All of it is on this
machine. ``docs/results/deployment.json`` and ``.md`` are written.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.deployment.clusters import two_nodes
from benchmarks.deployment.relay import Relay
from benchmarks.speed.table import machine

HERE = Path(__file__).parent
RESULTS = HERE.parent.parent / "docs" / "results"
FEDLAB = [sys.executable, "-m", "fedlab"]
SITES = ("a", "b")
WARM_UP = 2
"""Rounds before the first that counts: in them sites read their data and build their models."""
SECONDS_TO_START = 180.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def federation(folder: Path) -> Iterator[Relay]:
    """Run a server and its sites; yield the relay between them."""
    server_port, port = free_port(), free_port()
    init = [*FEDLAB, "deploy", "init", str(folder), "--sites", ",".join(SITES), "--with-keys"]
    subprocess.run([*init, "--port", str(port)], check=True)
    server = folder / "server" / "server.toml"
    server.write_text(server.read_text().replace(f"port = {port}", f"port = {server_port}"))
    relay = Relay(port, server_port)
    files = [folder / f"site-{name}" / f"site-{name}.toml" for name in SITES]
    commands = [["server", str(server)], *(["site", str(file)] for file in files)]
    parties: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            parties.append(subprocess.Popen([*FEDLAB, "deploy", *command]))
            until = time.monotonic() + SECONDS_TO_START
            while command[0] == "server" and not (folder / "server/state/entrance.json").exists():
                assert time.monotonic() < until, "the server has not started"
                time.sleep(0.2)
        yield relay
    finally:
        for party in reversed(parties):
            party.terminate()
        for party in parties:
            party.wait()


def rounds_of(run: Path) -> list[dict[str, Any]]:
    """Return the rounds of a run that count."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["round"] > WARM_UP]


def training_seconds(run: Path, is_serial: bool) -> float:
    """Return how long a round's training took: the slower client's, or both clients'."""
    rounds: dict[int, list[float]] = {}
    for line in map(json.loads, (run / "clients.jsonl").read_text().splitlines()):
        if line["phase"] == "train" and line["round"] > WARM_UP:
            rounds.setdefault(line["round"], []).append(line["seconds"])
    return median((sum if is_serial else max)(seconds) for seconds in rounds.values())


def measured(run: Path, is_serial: bool = False) -> dict[str, float]:
    """Return a run's figures.

    Args:
        run: Its folder.
        is_serial: Whether its clients train one after the other.
    """
    rounds = rounds_of(run)
    return {
        "round": median(line["seconds"]["total"] for line in rounds),
        "training": training_seconds(run, is_serial),
        "payload": median(line["bytes_down"] + line["bytes_up"] for line in rounds),
    }


def _simulated(scenario: Path, runs: Path, *options: str) -> dict[str, float]:
    subprocess.run([*FEDLAB, "run", str(scenario), "--runs", str(runs), *options], check=True)
    return measured(next(runs.iterdir()), is_serial=runs.name in ("0", "1"))


def measure(scenario: Path) -> dict[str, Any]:
    """Run a scenario as simulations, then deployed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        simulated = {
            "one process": _simulated(scenario, folder / "0", "--set", "engine.name=inline"),
            "one worker": _simulated(scenario, folder / "1", "--set", "engine.workers=1"),
            "two workers": _simulated(scenario, folder / "2", "--set", "engine.workers=2"),
        }
        with two_nodes(free_port()) as address:
            on_cluster = _simulated(scenario, folder / "3", "--cluster", address)
        simulated["two nodes of one worker"] = on_cluster
        fed = folder / "federation"
        with federation(fed) as relay:
            deployed = _deployed(scenario, fed, relay, "train")
            text = scenario.read_text() + "evaluation = {federated = true}\n"
            evaluated = folder / scenario.name
            evaluated.write_text(text)
            evaluating = _deployed(evaluated, fed, relay, "evaluate")
    return {
        "scenario": scenario.stem,
        "simulated": simulated,
        "deployed": {"two sites": deployed, "two sites that evaluate, too": evaluating},
    }


def _deployed(scenario: Path, fed: Path, relay: Relay, name: str) -> dict[str, float]:
    """Run a scenario at the sites of a federation."""
    server = str(fed / "server" / "server.toml")
    command = [*FEDLAB, "deploy", "run", str(scenario), "--server", server, "--name", name]
    before = relay.up + relay.down
    start = time.monotonic()
    subprocess.run(command, check=True)
    seconds, passed = time.monotonic() - start, relay.up + relay.down - before
    run = fed / "server" / "runs" / name
    count = len(rounds_of(run)) + WARM_UP
    return {**measured(run), "wire": passed / count, "whole": seconds}


PAGE = """# What distributing costs

Measured with `python -m benchmarks.deployment`: two clients, in one process, in workers of Ray, on
a Ray cluster of two nodes, and as two sites of a server, over TLS with keys, as `fedlab deploy`
starts them; all on one machine. In a round both clients train, and the server evaluates; figures
are medians of the rounds after the first two. *Not training* is what is left of a round beside the
slower client's training, or beside both clients' where one after the other trains.

{about}

| scenario | where clients train | a round | of it not training | weights | on the wire |
| --- | --- | ---: | ---: | ---: | ---: |
{rows}

Of a deployment, what is on the wire beside weights, in both directions and for both sites: Flower's
books of each message, questions for what is new, and encryption. Time that is not training goes to
some sixty requests that follow one another; an evaluation at the sites is a message of its own. It
hardly depends on the model until that has millions of parameters, and grows with what else the
machine does.
"""


def page(content: dict[str, Any]) -> str:
    """Return the page of the figures."""
    about = content["machine"]
    words = [about[key] for key in ("processor", "versions")]
    words += [f"commit {about['commit']}, {about['date']}; load average {about['load']}"]
    words += [content["note"]] if content["note"] else []
    return PAGE.format(
        about="; ".join(words) + ".",
        rows="\n".join(row for run in content["runs"] for row in _rows(run)),
    )


def _rows(run: dict[str, Any]) -> Iterator[str]:
    deployed = {f"deployed, {sites}": figures for sites, figures in run["deployed"].items()}
    for where, figures in {**run["simulated"], **deployed}.items():
        wire = f"{figures['wire'] / 1e3:,.0f} kB" if "wire" in figures else ""
        cells = [
            run["scenario"],
            where,
            f"{figures['round'] * 1e3:,.0f} ms",
            f"{1 - figures['training'] / figures['round']:.0%}",
            f"{figures['payload'] / 1e3:,.1f} kB",
            wire,
        ]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--note", default="", help="what else is to be said of the measurement")
    note = parser.parse_args().note
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    scenarios = sorted((HERE / "scenarios").glob("*.toml"))
    content = {
        "machine": machine(HERE.parent.parent),
        "note": note,
        "runs": [measure(scenario) for scenario in scenarios],
    }
    (RESULTS / "deployment.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "deployment.md").write_text(page(content))


if __name__ == "__main__":
    main()
