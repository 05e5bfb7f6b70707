"""Does every strategy learn? ``python -m benchmarks.sanity``

Every strategy is run on a small network with trained batch norm, on a pretrained backbone, and on
the former with one client in trouble; ``docs/results/sanity.md`` and ``sanity.json`` say how far
each comes beside FedAvg, or why it refuses. A table takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.sanity import parts
from benchmarks.speed.table import machine
from fedlab.errors import FedlabError, one_line
from fedlab.files import write_whole
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results"
COLUMNS = {
    "batch norm": "six clients, digits, a small network whose batch norm is trained",
    "pretrained": "the same clients, EfficientNet-Lite0, its last two stages trained",
    "one idle client": "as batch norm, and client 0 returns the parameters that it received",
    "one NaN client": "as batch norm, and client 0 sends NaN",
}
ROUNDS = {"pretrained": 3}
MOST_ROUNDS = 6
SHORTER = {"data": {"train_examples": 240}, "evaluation": {"test_examples": 100}}
HEAD = """# Sanity: does every strategy learn?

Made by `python -m benchmarks.sanity`, which runs every strategy for a few rounds with its own
defaults (those of its keys that it demands are in `benchmarks/sanity/parts.py`) and with the client
that it needs. A cell is the accuracy after the last round, of the global model on test pictures or,
where there is none (marked °), of clients' own models on their validation pictures, with the
loss before and after; or why the strategy refuses. It is a check that each of them learns, on a
budget of seconds, and no comparison: none was tuned.
"""


class Figures(Callback):
    """Keeps the loss and the accuracy of each round."""

    def __init__(self) -> None:
        self.rounds: list[tuple[float, float]] = []
        self.is_own = False

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        record = outcome.record
        if "test" in record:
            self.rounds.append((record["test"]["loss"], record["test"]["accuracy"]))
        elif "clients" in record:
            self.is_own = True
            own = record["clients"]
            self.rounds.append((own["loss"]["mean"], own["accuracy"]["mean"]))


def main() -> None:
    """Run the table's cells and write it."""
    logging.getLogger("fedlab").setLevel(logging.ERROR)
    arguments = _arguments()
    names = arguments.only or list(parts.STRATEGIES)
    known = RESULTS / "sanity.json"
    cells: dict[str, dict[str, Any]] = {}
    if arguments.only and known.exists():
        cells = json.loads(known.read_text())["cells"]
    with tempfile.TemporaryDirectory() as folder:
        trained = parts.model_file(Path(folder))
        for name in names:
            cells[name] = {}
            for column in COLUMNS:
                cells[name][column] = cell = _cell(name, column, trained)
                print(f"{name}, {column}: {text_of(cell)}", flush=True)
    about = machine(ROOT)
    write(cells, {key: about[key] for key in ("processor", "versions", "date")}, RESULTS)


def _cell(name: str, column: str, trained: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a strategy's run."""
    own = parts.STRATEGIES[name]
    rounds = {"rounds": ROUNDS.get(column, MOST_ROUNDS)}
    start = time.perf_counter()
    try:
        if column == "pretrained":
            made = parts.scenario_of(name, own, {"model": parts.PRETRAINED}, SHORTER, rounds)
        else:
            made = parts.scenario_of(name, own, {"model": trained}, rounds)
            kind = {"one idle client": "idle", "one NaN client": "broken"}.get(column)
            if kind is not None:
                trouble = parts.with_trouble(made, kind)
                made = parts.scenario_of(name, own, {"model": trained}, rounds, trouble)
        return {**outcome(made), "seconds": round(time.perf_counter() - start, 1)}
    except FedlabError as error:
        return {"refused": str(error)}


def outcome(scenario: Scenario) -> dict[str, Any]:
    """Return where a run began and where it ended.

    Raises:
        FedlabError: If the scenario is refused, or the run fails.
    """
    figures = Figures()
    with Simulation(scenario) as simulation:
        simulation.rounds([figures]).run()
    (first, _), (last, accuracy) = figures.rounds[0], figures.rounds[-1]
    return {
        "loss": [round(value, 3) if math.isfinite(value) else None for value in (first, last)],
        "accuracy": round(accuracy, 3),
        "learns": math.isfinite(last) and last < first,
        **({"own": True} if figures.is_own else {}),
    }


def text_of(cell: Mapping[str, Any]) -> str:
    """Return a cell's text."""
    if "refused" in cell:
        return f"refused: {one_line(cell['refused'])}"
    first, last = ("none" if loss is None else f"{loss:.2f}" for loss in cell["loss"])
    mark = "°" if cell.get("own") else ""
    broken = "" if cell["learns"] else " **does not learn**"
    return f"{cell['accuracy']:.0%}{mark} ({first} → {last}){broken}"


def write(cells: Mapping[str, Any], about: Mapping[str, str], folder: Path) -> None:
    """Write the page and its figures.

    Args:
        cells: By strategy and column.
        about: What they were measured on.
        folder: Where the files go.
    """
    ordered = ["fedavg", *(name for name in sorted(cells) if name != "fedavg")]
    lines = [HEAD, *(f"- **{name}**: {about_it}" for name, about_it in COLUMNS.items()), ""]
    lines.append(f"| strategy | {' | '.join(COLUMNS)} |")
    lines.append(f"| --- |{' --- |' * len(COLUMNS)}")
    for name in ordered:
        texts = [text_of(cells[name][column]) for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    lines += ["", ", ".join(f"{key}: {value}" for key, value in about.items()) + "."]
    write_whole(folder / "sanity.md", ("\n".join(lines) + "\n").encode())
    content = {"machine": about, "columns": COLUMNS, "cells": cells}
    write_whole(folder / "sanity.json", (json.dumps(content, indent=1) + "\n").encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sanity", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(parts.STRATEGIES),
        metavar="STRATEGY",
        help="run these rows again, and keep the others",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
