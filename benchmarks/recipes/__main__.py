"""Do the defaults of ``fedlab finetune`` hold? ``python -m benchmarks.recipes``

First, built-in scenarios on real data of every kind are run with their baselines (``kinds.py``).
Then, on every folder of pictures the recipe ``auto``, with no option set but the backbone, is run
beside the head alone and full fine-tuning at three learning rates each, and beside itself on pooled
data (one client) and on each client's alone. Every run is the command, in a process of its own.
``docs/results/recipes.json`` keeps what was run, so that a run that was stopped goes on;
``recipes.md`` is the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.recipes import kinds
from benchmarks.recipes.pictures import FOLDERS
from benchmarks.speed.table import machine
from fedlab.errors import FedlabError
from fedlab.files import write_whole
from fedlab.results.reading import RunRecord

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results"
BACKBONE = "tf_efficientnet_lite0"
PROBE_RATES = (0.001, 0.003, 0.01)
FULL_RATES = (0.0001, 0.0003, 0.001)
HEAD = """# Recipes: do the defaults of `fedlab finetune` hold?

Made by `python -m benchmarks.recipes`: `fedlab finetune --data FOLDER --backbone {backbone}` with
no other option (*auto*), the head alone (`--recipe probe`) and full fine-tuning (`--recipe full`)
at three learning rates each, auto on pooled data (`--partition iid --clients 1`), and the mean of
what clients reach alone by the same recipe. A cell is the accuracy on the test pictures of the
model that the run ends with, the median of the seeds and, in brackets, the least and the most;
*falls* is by how many points the run's best round, by the test pictures, is above that. Runs of
less than the pretraining's 224 pixels say so. Pictures are dealt out evenly to five clients; those
of PACS, of which every fifth is taken, to its four domains. `cifar` is a folder of 2,000 pictures
of CIFAR-10, 200 of each class, given with `--data`. *5 + 5* and *2 + 8 rounds* (of the head and of
the network) are the recipe as it was before, which has 2 + 10 now.
"""

Cell = dict[str, Any]


def main() -> None:
    """Run what is not there yet, and write the table."""
    arguments = _arguments()
    known = RESULTS / "recipes.json"
    content: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}

    def run(part: str, key: str, get: Callable[[], Cell]) -> None:
        """Run what is not known yet, and keep it at once."""
        cells = content.setdefault(part, {})
        if key in cells:
            return
        try:
            cells[key] = get()
        except RuntimeError as error:
            print(f"{key} is left out: {error}", flush=True)
            return
        print(key, cells[key], flush=True)
        about = machine(ROOT)
        content["machine"] = {k: about[k] for k in ("processor", "versions", "date")}
        write_whole(known, (json.dumps(content, indent=1) + "\n").encode())

    for seed in range(arguments.seeds):
        for scenario in arguments.kinds:
            run(
                "kinds",
                f"{scenario}/{seed}",
                partial(kinds.outcome, scenario, seed, _engine(arguments)),
            )
    with tempfile.TemporaryDirectory() as place:
        folders = dict(_folders(arguments, Path(place)))
        for key, options in _runs(arguments):
            for name, data in folders.items():
                run("cells", f"{name}/{key}", partial(outcome, data, options, Path(place)))
    write_whole(RESULTS / "recipes.md", page(content).encode())


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.recipes")
    parser.add_argument(
        "--kinds", nargs="*", default=list(kinds.KINDS), choices=list(kinds.KINDS), metavar="NAME"
    )
    parser.add_argument("--only", nargs="*", default=list(FOLDERS), choices=list(FOLDERS))
    parser.add_argument("--data", nargs="*", type=Path, default=[], help="folders of your own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--image-size", type=int, help="smaller is faster; default: 224")
    parser.add_argument(
        "--inline", action="store_true", help="run clients in one process: the figures are the same"
    )
    columns = ["auto", "probe", "full", "pooled", "alone"]
    parser.add_argument("--columns", nargs="*", default=columns, choices=columns)
    return parser.parse_args()


def _folders(arguments: Any, place: Path) -> Iterator[tuple[str, Path]]:
    for name in arguments.only:
        try:
            yield name, FOLDERS[name](place / name).resolve()
        except FedlabError as error:
            print(f"{name} is left out: {error}", flush=True)
    for folder in arguments.data:
        yield folder.name, folder.resolve()


def _engine(arguments: Any) -> list[str]:
    return ["--set", "engine.name=inline"] if arguments.inline else []


def _runs(arguments: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the options of every run on a folder."""
    engine = _engine(arguments)
    size = [] if arguments.image_size is None else ["--image-size", str(arguments.image_size)]
    at = f" at {arguments.image_size} px" if size else ""
    for seed in range(arguments.seeds):
        wanted: dict[str, list[str]] = {
            "auto": [],
            "pooled": ["--partition", "iid", "--clients", "1"],
        }
        wanted["alone"] = ["--set", "evaluation.baselines=['local']"]
        for recipe, rates in (("probe", PROBE_RATES), ("full", FULL_RATES)):
            for rate in rates:
                wanted[f"{recipe} {rate:g}"] = ["--recipe", recipe, "--lr", str(rate)]
        for column, options in wanted.items():
            if column.partition(" ")[0] in arguments.columns:
                yield f"{column}{at}/{seed}", [*options, *size, *engine, "--seed", str(seed)]


def outcome(data: Path, options: Sequence[str], place: Path) -> Cell:
    """Return what the command leads to: accuracy, the best round's, seconds, bytes.

    Raises:
        RuntimeError: If it fails.
    """
    with tempfile.TemporaryDirectory(dir=place) as folder:
        command = [sys.executable, "-m", "fedlab", "finetune", "--data", str(data)]
        command += ["--backbone", BACKBONE, "--json", *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
        (run,) = (Path(folder) / "runs").iterdir()
        summary = json.loads((run / "summary.json").read_text())
        alone = [row.test["accuracy"] for row in RunRecord.load(run).baselines]
    return {
        "accuracy": round(mean(alone) if alone else summary["test"]["accuracy"], 4),
        "best": round(summary["best"]["accuracy"], 4) if not alone else round(max(alone), 4),
        "seconds": round(summary["seconds"]),
        "megabytes": round((summary["bytes_down"] + summary["bytes_up"]) / 1e6),
    }


def page(content: Mapping[str, Any]) -> str:
    """Return the Markdown page."""
    cells: dict[str, dict[str, list[Cell]]] = {}
    for key, cell in content.get("cells", {}).items():
        name, run, _ = key.split("/")
        cells.setdefault(name, {}).setdefault(run, []).append(cell)
    lines = [HEAD.format(backbone=BACKBONE), *_table(cells), ""]
    lines += [*kinds.table(content.get("kinds", {})), ""]
    lines += [f"{key}: {value}  " for key, value in content.get("machine", {}).items()]
    return "\n".join(lines) + "\n"


def _table(cells: Mapping[str, Mapping[str, Sequence[Cell]]]) -> Iterator[str]:
    yield "| data | run | seeds | accuracy | falls | seconds of rounds | MB |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, runs in cells.items():
        for run, found in sorted(runs.items()):
            reached = [100 * cell["accuracy"] for cell in found]
            falls = max(100 * (cell["best"] - cell["accuracy"]) for cell in found)
            spread = f" ({min(reached):.1f}, {max(reached):.1f})" if len(found) > 1 else ""
            yield (
                f"| {name} | {run} | {len(found)} | {median(reached):.1f}{spread} | {falls:.1f} | "
                f"{median(cell['seconds'] for cell in found)} | "
                f"{median(cell['megabytes'] for cell in found)} |"
            )


if __name__ == "__main__":
    main()
