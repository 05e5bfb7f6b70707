"""What is learned without labels? ``python -m benchmarks.self_supervised``

Runs the built-in scenarios of ``scenarios/self-supervised``, SimCLR on pooled data, and a hundred
and a thousand labels from random weights and from what each has learned; and SemiFL between the
hundred labels alone and all of them. ``docs/results/self-supervised.json`` keeps what was run, so
that a run that was stopped goes on; ``self-supervised.md`` is the table. ``--anew simclr`` runs
what is there once more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed.table import machine
from fedlab.engine.probe import Probe, by_linear_probe, by_neighbours, probe_of
from fedlab.files import write_whole
from fedlab.results.reading import RunRecord
from fedlab.scenario import load
from fedlab.scenario.parts import load_federation

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results"
SEMIFL = "semifl"
SCENARIOS = ("simclr", "moco", "simsiam", "byol", "fedu", "fedema", "simmim")
POOLED = ["--set", "data.partition={name='iid', clients=1}"]
HEAD = """# Learning without labels: what simple classifiers make of it

Made by `python -m benchmarks.self_supervised`: the scenarios of
[self-supervised learning](../self-supervised.md), ten clients with Dirichlet classes (α = 0.3) and
10,000 pictures of Fashion-MNIST, a small Vision Transformer, sixteen epochs in eight rounds, one
seed. *Linear* and *neighbours* are accuracies on 2,000 test pictures of logistic regression and of
the 20 nearest neighbours that know 600 labels, one in a hundred of the data set's. *A hundred
labels*, one in a hundred of what is learned from, is what `few-labels` ends with from there: ten
clients of ten labels each; *a thousand*, one in ten, the same with `data.train_examples = 1000`.
Network, rate, batch size and rounds are the same for all: the best of ten tries with SimCLR, seen
on the same test pictures, and not tuned for any other. A convolutional network, of which random
weights are good features here, went with SimCLR from 81.4 to 85.1 % with 5,000 labels, where pixels
have 80.3. Rows came from several runs of the command; the machine named below is that of the last.

| representation | linear | neighbours | a hundred labels | a thousand | spread | MB | seconds |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""
SEMI_SUPERVISED = """
## Labels at the server alone

The scenario `semifl`: ten clients of 400 pictures of MNIST without labels, a hundred pictures with
labels at the server, 60 rounds, one seed; test accuracy after the last. *The hundred alone* is
plain training on the server's pictures, *all labels* the plain average of the same clients if they
had the labels of their 4,000, with as many local steps a round.

| the hundred alone | SemiFL | all labels | MB a client | seconds |
| ---: | ---: | ---: | ---: | ---: |
"""

Cell = dict[str, Any]


def main() -> None:
    """Run what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m benchmarks.self_supervised"
    )
    parser.add_argument("--only", nargs="*", default=list(SCENARIOS), choices=SCENARIOS)
    parser.add_argument("--anew", nargs="*", default=[], choices=("random", *SCENARIOS, SEMIFL))
    arguments = parser.parse_args()
    known = RESULTS / "self-supervised.json"
    cells: dict[str, Cell] = json.loads(known.read_text()) if known.exists() else {}

    def run(name: str, key: str, get: Callable[[], Cell]) -> None:
        if key in cells and name not in arguments.anew:
            return
        cells[key] = get()
        about = machine(ROOT)
        cells["machine"] = {name: about[name] for name in ("processor", "versions", "date")}
        write_whole(known, (json.dumps(cells, indent=1) + "\n").encode())
        print(key, cells[key], flush=True)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run("pixels", "pixels", pixels)
        run("semifl", SEMIFL, lambda: semi_supervised(place))
        run("random", "random weights", lambda: outcome("simclr", place, at=0))
        for name in arguments.only:
            run(name, f"`{name}`", partial(outcome, name, place))
        if "simclr" in arguments.only:
            run("pooled", "`simclr`, pooled data", lambda: outcome("simclr", place, POOLED))
    write_whole(RESULTS / "self-supervised.md", page(cells).encode())


def semi_supervised(place: Path) -> Cell:
    """Return what SemiFL reaches, and what the server's labels alone and all labels do."""
    record = RunRecord.load(_run(place, SEMIFL))
    last = record.tested[-1]
    clients = load(SEMIFL).data.partition.clients
    bounds = {row.baseline: row.test["accuracy"] for row in record.baselines}
    return {
        "accuracy": last.value("accuracy"),
        "megabytes": round(record.bytes_moved / 1e6 / clients, 1),
        "seconds": round(sum(row.seconds.get("total", 0.0) for row in record.rounds)),
        **bounds,
    }


def pixels() -> Cell:
    """Return what the classifiers make of pixels."""
    scenario = load("simclr")
    federation = load_federation(scenario)
    dataset = federation.dataset
    wanted = probe_of(scenario, federation)
    assert wanted is not None
    known = Probe(wanted, scenario, federation).known
    inputs, tested = (part.inputs.float().flatten(1) / 255 for part in (known, dataset.test))
    linear = by_linear_probe(inputs, known.targets, tested) == dataset.test.targets
    near = by_neighbours(inputs, known.targets, tested, wanted.neighbours) == dataset.test.targets
    return {"linear": float(linear.double().mean()), "neighbours": float(near.double().mean())}


def outcome(
    name: str, place: Path, options: list[str] | None = None, at: int | None = None
) -> Cell:
    """Return what a scenario leads to.

    Args:
        name: The scenario.
        place: Where its folders go.
        options: Further options of the command.
        at: Of which round to report; None: the last.
    """
    rounds = ["--rounds", "1"] if at == 0 else []
    folder = _run(place, name, *(options or []), *rounds)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    test = json.loads(lines[0 if at == 0 else -1])["test"]
    begun = [] if at == 0 else [f"--set=model.pretrained={folder}"]
    few, more = (
        _accuracy(_run(place, "few-labels", *begun, *labels))
        for labels in ((), ("--set=data.train_examples=1000",))
    )
    summary = json.loads((folder / "summary.json").read_text())
    clients = load(str(folder / "scenario.toml")).data.partition.clients
    found = {
        "linear": test["probe_accuracy"],
        "neighbours": test["knn_accuracy"],
        "few": few,
        "more": more,
    }
    if at == 0:
        return found
    moved = summary["bytes_down"] + summary["bytes_up"]
    return found | {
        "spread": test.get("spread"),
        "megabytes": round(moved / 1e6 / clients, 1),
        "seconds": round(summary["seconds"]),
    }


def _accuracy(folder: Path) -> float:
    """Return the test accuracy that a run ended with."""
    found: float = json.loads((folder / "summary.json").read_text())["test"]["accuracy"]
    return found


def _run(place: Path, scenario: str, *options: str) -> Path:
    """Run a scenario in a process of its own; return its folder."""
    parent = Path(tempfile.mkdtemp(dir=place))
    command = [sys.executable, "-m", "fedlab", "run", scenario, "--runs", str(parent), *options]
    subprocess.run(command, check=True, capture_output=True)
    (folder,) = parent.iterdir()
    return folder


def page(cells: Mapping[str, Cell]) -> str:
    """Return the Markdown page."""
    rows = [
        f"| {name} | {_percent(cell['linear'])} | {_percent(cell['neighbours'])} | "
        f"{_percent(cell.get('few'))} | {_percent(cell.get('more'))} | "
        f"{_number(cell.get('spread'), '.2f')} | {_number(cell.get('megabytes'), '.1f')} | "
        f"{_number(cell.get('seconds'), '.0f')} |"
        for name, cell in cells.items()
        if "linear" in cell
    ]
    if SEMIFL in cells:
        rows += [SEMI_SUPERVISED + _semi_supervised_row(cells[SEMIFL])]
    about = [f"{key}: {value}  " for key, value in cells.get("machine", {}).items()]
    return HEAD + "\n".join([*rows, "", *about]) + "\n"


def _semi_supervised_row(cell: Cell) -> str:
    percents = (_percent(cell[name]) for name in ("source-only", "accuracy", "target-supervised"))
    return f"| {' | '.join(percents)} | {cell['megabytes']:.1f} | {cell['seconds']} |"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    main()
