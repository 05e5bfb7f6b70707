"""What a deployment costs beside a simulation: ``python -m benchmarks.deployment``.

A server and two sites run on this machine, as ``fedlab deploy`` starts them: encrypted, with keys,
each in its own processes. Their rounds are held against those of the same scenario in one process.
``docs/results/deployment.json`` and ``.md`` are written.
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


def training_seconds(run: Path) -> float:
    """Return how long the slower site trained in a round, as a median."""
    longest: dict[int, float] = {}
    for line in map(json.loads, (run / "clients.jsonl").read_text().splitlines()):
        if line["phase"] == "train" and line["round"] > WARM_UP:
            longest[line["round"]] = max(longest.get(line["round"], 0.0), line["seconds"])
    return median(longest.values())


def measured(run: Path) -> dict[str, float]:
    rounds = rounds_of(run)
    return {
        "round": median(line["seconds"]["total"] for line in rounds),
        "training": training_seconds(run),
        "payload": median(line["bytes_down"] + line["bytes_up"] for line in rounds),
    }


def measure(scenario: Path) -> dict[str, Any]:
    """Run a scenario as a simulation in one process, then deployed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        inline = [*FEDLAB, "run", str(scenario), "--runs", place, "--set", "engine.name=inline"]
        subprocess.run(inline, check=True)
        simulated = measured(next(folder.glob(f"{scenario.stem}-*")))
        fed = folder / "federation"
        with federation(fed) as relay:
            server = str(fed / "server" / "server.toml")
            command = [*FEDLAB, "deploy", "run", str(scenario), "--server", server]
            before = relay.up + relay.down
            start = time.monotonic()
            subprocess.run([*command, "--name", "run"], check=True)
            seconds, passed = time.monotonic() - start, relay.up + relay.down - before
            run = fed / "server" / "runs" / "run"
            deployed = measured(run)
            count = len(rounds_of(run)) + WARM_UP
    return {
        "scenario": scenario.stem,
        "simulated": simulated,
        "deployed": {**deployed, "wire": passed / count, "whole": seconds},
    }


PAGE = """# What a deployment costs

Measured with `python -m benchmarks.deployment`: a server and two sites on one machine, over TLS
with keys, as `fedlab deploy` starts them, beside the same scenario in one process. In a round
both sites train, and the server evaluates; figures are medians of the rounds after the first two.

{about}

| scenario | one process, a round | deployed, a round | of it not training | weights | on the wire |
| --- | ---: | ---: | ---: | ---: | ---: |
{rows}

What is on the wire beside weights, in both directions and for both sites: Flower's books of each
message, questions for what is new, and encryption. Time that is not training goes to some sixty
requests that follow one another; an evaluation at the sites takes as many again. It hardly depends
on the model until that has millions of parameters, and grows with what else the machine does.
"""


def page(content: dict[str, Any]) -> str:
    """Return the page of the figures."""
    about = content["machine"]
    words = [about[key] for key in ("processor", "versions")]
    words += [f"commit {about['commit']}, {about['date']}; load average {about['load']}"]
    words += [content["note"]] if content["note"] else []
    return PAGE.format(about="; ".join(words) + ".", rows="\n".join(map(_row, content["runs"])))


def _row(run: dict[str, Any]) -> str:
    one, deployed = run["simulated"], run["deployed"]
    share = 1 - deployed["training"] / deployed["round"]
    cells = [
        run["scenario"],
        f"{one['round'] * 1e3:.0f} ms",
        f"{deployed['round']:.2f} s",
        f"{share:.0%}",
        f"{deployed['payload'] / 1e3:,.1f} kB",
        f"{deployed['wire'] / 1e3:,.0f} kB",
    ]
    return f"| {' | '.join(cells)} |"


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
