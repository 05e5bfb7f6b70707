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
from fedlab.scenario import Scenario, load
from fedlab.scenario.parts import load_federation

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results"
SEMIFL = "semifl"
CNN = ("simclr-cnn",)
VIT = ("simclr", "moco", "simsiam", "byol", "fedu", "fedema", "simmim")
LABELS = {"simclr-cnn": "few-labels-cnn"}
"""The scenario of a hundred labels that has the same network; of others it is ``few-labels``."""
MORE_LABELS = 6000
POOLED = ["--set", "data.partition={name='iid', clients=1}"]
HEAD = """# Learning without labels: what simple classifiers make of it

Made by `python -m benchmarks.self_supervised`: the scenarios of
[self-supervised learning](../self-supervised.md), ten clients with Dirichlet classes (α = 0.3) and
10,000 pictures of Fashion-MNIST, one seed. *Linear* and *neighbours* are accuracies on 2,000 test
pictures of logistic regression and of the 20 nearest neighbours that know 600 labels, one in a
hundred of the data set's; *with 6,000*, one in ten, is logistic regression again. Of pixels they
make PIXELS. *100 labels*, one in a hundred of what is learned from, is what
`few-labels` (`few-labels-cnn`) ends with from there, ten clients of ten labels each; *1,000*, one
in ten, the same with `data.train_examples = 1000`. Rows came from several runs of the command; the
machine named below is that of the last.
"""
COLUMNS = """
| representation | linear | with 6,000 | neighbours | 100 labels | 1,000 | spread | MB | seconds |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""
WITH_CNN = """
## A convolutional network

Twelve epochs in as many rounds of a residual network with group norm (Wu and He 2018) and average
pooling over the picture. Network, views, rate, batch size and temperature were chosen on 2,000
training pictures kept out of training, in ten tries with pooled data and three with clients, two of
them stopped early; six rounds with clients had 77.5 % there, pixels 76.7, random weights 64.3. How
good random weights are depends on the norm: with eight groups in place of 32 they had 70.8 % on the
pictures kept out, and SimCLR on pooled data 80.0 after twelve epochs, with 32 groups 79.5 after
eight, of batches of 128. So the gain over random weights is larger with 32, and they were taken for
that. This table had five rounds of two epochs at first (76.1 and, with 6,000 labels, 81.8 %; pooled
79.9 and 84.8 %). Rounds of one epoch were tried because those test figures were below those of
pixels: 24 rounds (78.1 %, and 78.0 after twelve), then the twelve. The column of 6,000 labels was
added when the first figures with 600 were known.
"""
WITH_VIT = """
## A small Vision Transformer

Sixteen epochs in eight rounds. Network, rate, batch size and rounds are the same for all: the best
of ten tries with SimCLR, seen on the same test pictures, and not tuned for any other.
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
    parser.add_argument("--only", nargs="*", default=[*CNN, *VIT], choices=(*CNN, *VIT))
    parser.add_argument("--anew", nargs="*", default=[], choices=("pixels", *CNN, *VIT, SEMIFL))
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
        for name in arguments.only:
            if name in (CNN[0], VIT[0]):
                run(name, _random(name), partial(outcome, name, place, at=0))
            run(name, f"`{name}`", partial(outcome, name, place))
            if name in (CNN[0], VIT[0]):
                run(name, _pooled(name), partial(outcome, name, place, POOLED))
    write_whole(RESULTS / "self-supervised.md", page(cells).encode())


def _random(name: str) -> str:
    return f"random weights, as `{name}` begins"


def _pooled(name: str) -> str:
    return f"`{name}`, pooled data"


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
    more = load("simclr", overrides=[f"evaluation.probe.examples={MORE_LABELS}"])
    return _of_pixels(load("simclr")) | {"linear more": _of_pixels(more)["linear"]}


def _of_pixels(scenario: Scenario) -> Cell:
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
    rounds = ["--rounds", "1", "--set", "client.steps=1"] if at == 0 else []
    folder = _run(place, name, *(options or []), *rounds)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    test = json.loads(lines[0 if at == 0 else -1])["test"]
    begun = [] if at == 0 else [f"--set=model.pretrained={folder}"]
    few, more = (
        _accuracy(_run(place, LABELS.get(name, "few-labels"), *begun, *labels))
        for labels in ((), ("--set=data.train_examples=1000",))
    )
    summary = json.loads((folder / "summary.json").read_text())
    probed = with_more_labels(name, place, begun) if name in CNN else None
    clients = load(str(folder / "scenario.toml")).data.partition.clients
    found = {
        "linear": test["probe_accuracy"],
        "linear more": probed,
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


def with_more_labels(name: str, place: Path, begun: list[str]) -> float:
    """Return the accuracy of logistic regression that knows the larger number of labels.

    Args:
        name: The scenario of what is probed.
        place: Where the run's folder goes, of which only round 0 counts.
        begun: Options that say where the weights come from.
    """
    probe = [
        f"--set=evaluation.probe.examples={MORE_LABELS}",
        "--set=evaluation.probe.neighbours=0",
    ]
    folder = _run(place, name, *begun, *probe, "--rounds", "1", "--set=client.steps=1")
    first = (folder / "metrics.jsonl").read_text().splitlines()[0]
    found: float = json.loads(first)["test"]["probe_accuracy"]
    return found


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
    known = ("linear", "neighbours", "linear more")
    bounds = [_percent(cells["pixels"].get(key)) for key in known]
    parts = [HEAD.replace("PIXELS", "{}, {} and, with 6,000, {} %".format(*bounds))]
    for text, names in ((WITH_CNN, CNN), (WITH_VIT, VIT)):
        first, *others = names
        keys = (_random(first), f"`{first}`", _pooled(first), *(f"`{name}`" for name in others))
        parts += [text, COLUMNS, *(_row(key, cells[key]) for key in keys if key in cells)]
    if SEMIFL in cells:
        parts += [SEMI_SUPERVISED, _semi_supervised_row(cells[SEMIFL]), "\n"]
    about = [f"{key}: {value}  \n" for key, value in cells.get("machine", {}).items()]
    return "".join([*parts, "\n", *about])


def _row(name: str, cell: Cell) -> str:
    percents = (
        _percent(cell.get(key)) for key in ("linear", "linear more", "neighbours", "few", "more")
    )
    forms = (("spread", ".2f"), ("megabytes", ".1f"), ("seconds", ".0f"))
    numbers = (_number(cell.get(key), form) for key, form in forms)
    return f"| {' | '.join((name, *percents, *numbers))} |\n"


def _semi_supervised_row(cell: Cell) -> str:
    percents = (_percent(cell[name]) for name in ("source-only", "accuracy", "target-supervised"))
    return f"| {' | '.join(percents)} | {cell['megabytes']:.1f} | {cell['seconds']} |"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    main()
