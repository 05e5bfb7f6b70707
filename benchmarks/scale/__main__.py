"""Cost follows the cohort, not the population: ``python -m benchmarks.scale``.

Every run is a fresh process. Two checks compare a population of a million clients with one of a
thousand, alternating, with the same cohort; one runs 200 rounds and fits a line through the memory
of the process tree; one trains a model of 86 million parameters. Figures are added to
``docs/results/scale.json`` after each run, and ``docs/results/scale.md`` is generated from them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.table import page
from benchmarks.speed.measurement import Measurement, measure
from benchmarks.speed.table import machine

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS = ROOT / "docs" / "results"
CLIENTS = (1_000, 1_000_000)
POPULATIONS = {
    "virtual": ("million-clients", "data.partition.clients"),
    "made-up": ("million-made-up-clients", "data.clients"),
}
LONG = {
    "rounds": [str(ROOT / "benchmarks/speed/scenarios/w3.toml"), "--set", "rounds=200"],
    "parameters": [str(HERE / "scenarios" / "vit-base.toml")],
}
WARM_UP = 20
"""Rounds before the first that the line through memory includes."""


@dataclass
class Watch:
    """Observations of a process tree.

    Attributes:
        memory: (rounds done, bytes of the proportional set) at each observation.
    """

    memory: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, so_far: Measurement, processes: list[int], held: int) -> None:
        """Record an observation."""
        self.memory.append((len(so_far.ends), held))

    def growth(self) -> tuple[float, float] | tuple[None, None]:
        """Return the slope of memory in long runs, in bytes per round, with its standard error."""
        rounds, held = np.array(self.memory, dtype=float).T
        kept = (rounds >= WARM_UP) & (rounds < rounds.max())
        if rounds.max() < 5 * WARM_UP:
            return None, None
        coefficients, covariance = np.polyfit(rounds[kept], held[kept], 1, cov=True)
        return float(coefficients[0]), float(np.sqrt(covariance[0, 0]))


def main() -> None:
    """Run the requested checks, and write the page."""
    arguments = _arguments()
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / "scale.json"
    content: dict[str, Any] = {"runs": []}
    if file.exists() and not arguments.fresh:
        content = json.loads(file.read_text())
    content["machine"] = machine(ROOT)
    for repeat in range(arguments.repeats):
        for check in arguments.checks:
            for run in _runs(check):
                content["runs"].append({"check": check, "repeat": repeat, **run})
                print(json.dumps(content["runs"][-1]), flush=True)
                file.write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "scale.md").write_text(page(content))


def _runs(check: str) -> Iterator[dict[str, Any]]:
    """Run a check; yield the result of each of its processes."""
    if check in LONG:
        yield _long(LONG[check])
        return
    for clients in CLIENTS:
        scenario, key = POPULATIONS[check]
        command = [sys.executable, "-m", "benchmarks.scale.population"]
        done = subprocess.run(
            [*command, scenario, key, str(clients)], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            yield {"clients": clients, "problem": done.stderr.strip().rpartition("\n")[2]}
        else:
            costs = json.loads(done.stdout.strip().rpartition("\n")[2])
            yield {"clients": clients, "problem": "", **costs}


def _long(arguments: list[str]) -> dict[str, Any]:
    watch = Watch()
    fedlab = str(Path(sys.executable).parent / "fedlab")
    with tempfile.TemporaryDirectory() as runs:
        result = measure([fedlab, "run", *arguments, "--json", "--runs", runs], ROOT, watch)
    if result.problem:
        return {"problem": result.problem}
    slope, error = watch.growth()
    return {
        "problem": "",
        "rounds": len(result.ends),
        "first_round": result.ends[0],
        "whole": result.whole,
        "peak": result.peak,
        "growth": slope,
        "growth_error": error,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument(
        "--checks",
        default=[*POPULATIONS, *LONG],
        type=lambda text: text.split(","),
        help="comma-separated",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fresh", action="store_true", help="forget earlier figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
