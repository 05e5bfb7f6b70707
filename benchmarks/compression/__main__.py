"""What does compression cost in accuracy? ``python -m benchmarks.compression``

The scenario "fedavg" (twenty clients with uneven mixes of digits, a small CNN from random weights)
is run with every update processor, with and without error feedback, for the same number of rounds.
``docs/results/compression.json`` keeps what was run, so that a run that was stopped goes on;
``compression.md`` and ``compression.png`` are made from it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.compression.codecs import Codec, codecs
from benchmarks.compression.plot import draw
from benchmarks.speed.table import machine
from fedlab.files import write_whole
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario, load

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results"
POOLED = {
    "data.partition.name": "iid",
    "data.partition.clients": 1,
    "strategy.fraction_train": 1.0,
}
HEAD = """# Compression: accuracy against megabytes

Made by `python -m benchmarks.compression`: the scenario `fedavg` (20 clients with uneven mixes of
scikit-learn's handwritten digits, half of them in each of {rounds} rounds, a CNN of {parameters:,}
parameters from random weights) with nothing changed but `[[updates]]` and `[[downlink]]`; of
`majority-vote` the strategy, too. Accuracy is on the test set after the last round,
{of_seeds}. MB are of all clients and rounds;
the rates of `majority-vote` and what `random-k` and `count-sketch` do by default were chosen with
such accuracies in view, of another seed for the most part;
*×* says how many times fewer go up than without compression. Bounds:
one client with all examples reaches {pooled}, and weights as they are {plain}.

![Test accuracy against megabytes sent up, a line for each codec](compression.png)

| codec | error feedback | accuracy | MB up | × | MB down | seconds |
| --- | --- | --- | --- | --- | --- | --- |
"""


class Watch(Callback):
    """Keeps the record of each round."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        self.records.append(outcome.record)


def main() -> None:
    """Run what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.compression")
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    known = RESULTS / "compression.json"
    content: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {"runs": {}}
    for seed in range(arguments.seeds):
        for codec in (Codec("pooled", changes=POOLED), *codecs()):
            key = key_of(codec, seed)
            if key in content["runs"]:
                continue
            content["runs"][key] = outcome(codec, seed)
            print(key, content["runs"][key]["accuracy"][-1], flush=True)
            about = machine(ROOT)
            content["machine"] = {k: about[k] for k in ("processor", "versions", "date")}
            write_whole(known, (json.dumps(content, indent=1) + "\n").encode())
    write_whole(RESULTS / "compression.md", page(content, arguments.seeds).encode())
    draw([(c, content["runs"][key_of(c, 0)]) for c in codecs()], RESULTS / "compression.png")


def key_of(codec: Codec, seed: int) -> str:
    """Return the key of a run in the file of results."""
    return f"{codec.name}/{codec.feedback}/{seed}"


def scenario_of(codec: Codec, seed: int) -> Scenario:
    """Return the scenario of a codec."""
    changes: dict[str, Any] = {
        "engine.name": "inline",
        "evaluation.federated": "false",
        "seed": seed,
        **codec.changes,
    }
    for table, processors in (("updates", codec.updates), ("downlink", codec.downlink)):
        if processors:
            changes[table] = "[" + ", ".join(map(_inline, processors)) + "]"
    return load("fedavg", [f"{key}={value}" for key, value in changes.items()])


def _inline(table: dict[str, Any]) -> str:
    """Return a table on one line of TOML; text, numbers and truth values are written as in JSON."""
    return "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + "}"


def outcome(codec: Codec, seed: int) -> dict[str, Any]:
    """Return accuracy and the bytes so far, round by round, and the seconds of it all."""
    watch = Watch()
    with Simulation(scenario_of(codec, seed)) as simulation:
        parameters = simulation.network.model.layout.wire_size
        start = time.perf_counter()
        simulation.rounds([watch]).run()
        seconds = time.perf_counter() - start
    rows = watch.records
    up, down = [
        [sum(r.get(key, 0) for r in rows[: n + 1]) for n in range(len(rows))]
        for key in ("bytes_up", "bytes_down")
    ]
    accuracy = [row["test"]["accuracy"] for row in rows]
    return {
        "accuracy": accuracy,
        "up": up,
        "down": down,
        "seconds": seconds,
        "parameters": parameters,
    }


def page(content: dict[str, Any], seeds: int) -> str:
    """Return the page of all runs."""

    def ends(codec: Codec) -> str:
        found = [content["runs"][key_of(codec, seed)]["accuracy"][-1] for seed in range(seeds)]
        spread = f" [{min(found):.3f}, {max(found):.3f}]" if seeds > 1 else ""
        return f"{mean(found):.3f}{spread}"

    plain = content["runs"][key_of(Codec("none"), 0)]
    lines = []
    for codec in codecs():
        run = content["runs"][key_of(codec, 0)]
        feedback = {None: "", True: "yes", False: "no"}[codec.feedback]
        lines.append(
            f"| {codec.name} | {feedback} | {ends(codec)} | {run['up'][-1] / 1e6:.2f} | "
            f"{plain['up'][-1] / run['up'][-1]:.1f} | {run['down'][-1] / 1e6:.2f} | "
            f"{run['seconds']:.1f} |"
        )
    head = HEAD.format(
        rounds=len(plain["accuracy"]) - 1,
        parameters=plain["parameters"],
        of_seeds=(
            f"the mean of {seeds} seeds and, in brackets, the least and the most"
            if seeds > 1
            else "of one seed, so that a point or two may be chance"
        ),
        pooled=ends(Codec("pooled")),
        plain=ends(Codec("none")),
    )
    about = content["machine"]
    foot = (
        f"\nMeasured on {about['processor']}, {about['versions']}, {about['date']}; other programs "
        "ran on the machine, so that seconds say little.\n"
    )
    return head + "\n".join(lines) + "\n" + foot


if __name__ == "__main__":
    main()
