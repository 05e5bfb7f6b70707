"""Run the scenario 'unlearning' over seeds, forget its client: docs/results/unlearning.md.

``python -m benchmarks.unlearning`` does what is not in docs/results/unlearning.json yet;
``python -m benchmarks.unlearning backdoor`` does one part anew.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from fedlab.results.unlearning import SUCCESS
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.unlearning.unlearn import unlearn
from fedlab.scenario import load

RESULTS = Path(__file__).parents[2] / "docs" / "results"
GONE, SEEDS = 9, (1, 2, 3, 4, 5)
NORMS = (
    "{channels=8, kernel_size=3, padding=1, batch_norm=true, pooling='max'}",
    "{channels=16, kernel_size=3, padding=1, batch_norm=true, pooling='max'}",
)
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "backdoor": ("The backdoored client of `fedlab run unlearning`", ()),
    "batch-norm": (
        "The same with a CNN whose batch norm is trained",
        ("model.name=cnn", f"model.layers=[{', '.join(NORMS)}]", "client.optimizer.lr=0.05"),
    ),
    "honest": (
        "The same without the backdoor: an honest client leaves",
        ("attack=none",),
    ),
}
"""By part: its title, and what is overridden."""
MODELS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "original": ("the run", "original", ()),
    "retrain": ("`retrain`, the oracle", "retrain", ()),
    "federaser": ("`federaser`", "federaser", ()),
    "federaser-1": ("`federaser`, Δt = 1", "federaser", ("federaser.interval=1",)),
    "projected-ascent": ("`projected-ascent`", "projected-ascent", ()),
    "fine-tuning": ("`fine-tuning`, the control", "fine-tuning", ()),
}
"""By row: its name, the method, and the method's keys."""


def main() -> None:
    """Run what is asked for, and write both files after each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: those missing")
    asked = parser.parse_args().parts
    file = RESULTS / "unlearning.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name in asked or [part for part in PARTS if part not in found]:
        found[name] = {str(seed): measured(name, seed) for seed in SEEDS}
        file.write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / "unlearning.md").write_text(page(found))


def measured(name: str, seed: int) -> dict[str, Any]:
    """Return what every model knows, and what it took, in one run of a part."""
    overrides = (*PARTS[name][1], f"seed={seed}", "engine.name=inline")
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = RunFolder.create(scratch, name, load("unlearning", overrides))
        run(folder)
        whole = unlearn(folder, [GONE], scratch / "out")
        often = ["retrain", "federaser"], ["federaser.interval=1"]
        more = unlearn(folder, [GONE], scratch / "more", *often)
    for row, (_, method, keys) in MODELS.items():
        models = more.models if keys else whole.models
        rows[row] = next(m for m in models if m.name == method).model_dump(mode="json")
        for spent in ("cost", "past"):
            # The machine did other things.
            del rows[row][spent]["seconds"]
        print(name, seed, row, rows[row]["test"], flush=True)
    return rows


def page(found: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# Unlearning: what is left of a client",
        "",
        "Written by `python -m benchmarks.unlearning`: `fedlab run unlearning --set seed=N`, then "
        f"`fedlab unlearn RUN --client {GONE}`, seeds {', '.join(map(str, SEEDS))}; means and "
        "standard deviations ([what the columns are](../unlearning.md)); *there* is on what the "
        "forgotten client trained on. Of `federaser` the first round, had again, is not counted. "
        "The strength of the backdoor (`boost`, `poisoned`), rounds and rate of the scenario were "
        "chosen in view of the figures of seeds 1 and 2; the methods' keys are their papers', but "
        "for the two rounds after the ascent.",
    ]
    for name, (title, _) in PARTS.items():
        if name in found:
            lines += ["", f"## {title}", "", *_table(found[name])]
    return "\n".join(lines) + "\n"


def _table(by_seed: dict[str, Any]) -> list[str]:
    """Return a part's lines."""
    attacked = SUCCESS in by_seed[str(SEEDS[0])]["original"]["test"]
    heads = [
        "test accuracy",
        *(["backdoor"] if attacked else []),
        *("accuracy there", "loss there", "membership", "distance", "agreement", "divergence"),
        *("rounds", "local steps", "MB moved"),
    ]
    lines = [f"| | {' | '.join(heads)} |", "| --- " + "| ---: " * len(heads) + "|"]
    for row, (title, _, _) in MODELS.items():
        every = [by_seed[str(seed)][row] for seed in SEEDS]
        cells = [
            _percent([m["test"]["accuracy"] for m in every]),
            *([_percent([m["test"][SUCCESS] for m in every])] if attacked else []),
            _percent([m["forgotten"]["accuracy"] for m in every]),
            _number([m["forgotten"]["loss"] for m in every]),
            _number([m["forgotten"]["membership"] for m in every]),
            _number([m["against"]["distance"] for m in every]),
            _percent([m["against"]["agreement"] for m in every]),
            _number([m["against"]["divergence"] for m in every], 3),
        ]
        cost = [m["cost"] for m in every]
        if row == "original":
            cells += ["", "", ""]
        else:
            cells += [
                f"{fmean(c['rounds'] for c in cost):.0f}",
                f"{fmean(c['steps'] for c in cost):,.0f}",
                f"{fmean(c['bytes'] for c in cost) / 1e6:.1f}",
            ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _percent(values: Sequence[float]) -> str:
    return f"{100 * fmean(values):.1f} ± {100 * stdev(values):.1f}"


def _number(values: Sequence[float], digits: int = 2) -> str:
    return f"{fmean(values):.{digits}f} ± {stdev(values):.{digits}f}"


if __name__ == "__main__":
    main()
