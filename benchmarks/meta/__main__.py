"""Run the scenarios of scenarios/meta and write docs/results/meta.md.

``python -m benchmarks.meta`` runs those that are not in docs/results/meta.json yet;
``python -m benchmarks.meta sinusoids-maml`` runs one anew. Omniglot is looked for in FEDLAB_DATA.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from fedlab.errors import AssetMissing
from fedlab.metrics.names import steps_text
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import load

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FAR_OFF = 1000.0
"""A squared error beyond this, of waves of amplitude 5 at most, says no more than that it is."""
FIVE_SHOTS = ("client.shots=5", "evaluation.unseen_shots=5")
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "sinusoids-untrained": (
        "sinusoids-maml",
        "untrained",
        ("rounds=1", "strategy.optimizer.lr=1e-9"),
    ),
    "sinusoids-fedavg": ("sinusoids-fedavg", "FedAvg, then steps", ()),
    "sinusoids-reptile": ("sinusoids-reptile", "Reptile", ()),
    "sinusoids-per-fedavg": ("sinusoids-per-fedavg", "Per-FedAvg, first-order", ()),
    "sinusoids-fomaml": ("sinusoids-maml", "FedMeta, FOMAML", ("client.first_order=true",)),
    "sinusoids-maml": ("sinusoids-maml", "FedMeta, MAML", ()),
    "sinusoids-meta-sgd": ("sinusoids-meta-sgd", "FedMeta, Meta-SGD", ()),
    "omniglot-fedavg": ("omniglot-fedavg", "FedAvg, then steps, 1 shot", ()),
    "omniglot-anil": ("omniglot-anil", "ANIL, 1 shot", ()),
    "omniglot-maml": ("omniglot-maml", "FedMeta, MAML, 1 shot", ()),
    "omniglot-protonet": ("omniglot-protonet", "prototypical networks, 1 shot", ()),
    "omniglot-fedavg-5": (
        "omniglot-fedavg",
        "FedAvg, then steps, 5 shots",
        ("evaluation.unseen_shots=5",),
    ),
    "omniglot-anil-5": ("omniglot-anil", "ANIL, 5 shots", FIVE_SHOTS),
    "omniglot-maml-5": ("omniglot-maml", "FedMeta, MAML, 5 shots", FIVE_SHOTS),
    "omniglot-protonet-5": ("omniglot-protonet", "prototypical networks, 5 shots", FIVE_SHOTS),
}
"""By row: the scenario, what the table calls it, and what is overridden."""


def main() -> None:
    """Run what is asked for, and write both files after each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; default: those missing")
    asked = parser.parse_args().rows
    file = RESULTS / "meta.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name in asked or [row for row in ROWS if row not in found]:
        try:
            found[name] = measured(name)
        except AssetMissing as missing:
            print(f"{name}: {missing}", flush=True)
            continue
        print(name, found[name], flush=True)
        file.write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / "meta.md").write_text(page(found))


def measured(name: str) -> dict[str, Any]:
    """Return what one row's run reached on new clients, what it moved, and how long it took."""
    scenario, _, overrides = ROWS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = RunFolder.create(Path(temporary), name, load(scenario, overrides))
        start = time.process_time()
        run(folder)
        seconds = time.process_time() - start
        summary = json.loads((folder.path / "summary.json").read_text())
    metric = "loss" if name.startswith("sinusoids") else "accuracy"
    return {
        "rounds": summary["rounds"],
        "after": {steps: means[metric] for steps, means in summary["unseen"].items()},
        "bytes": summary["bytes_down"] + summary["bytes_up"],
        "processor_seconds": round(seconds, 1),
    }


def page(found: dict[str, Any]) -> str:
    """Return the page."""
    sections = (
        (
            "sinusoids",
            "Sinusoids: squared error after steps on 5 points, lower is better",
            "200 clients that never train, 10 test points each. The bound is the network before "
            "any training. One public reproduction reports .7 for MAML, .8 for FOMAML, 1.3 for "
            "Reptile, and more than 3 before adaptation.",
        ),
        (
            "omniglot",
            "Omniglot: accuracy on five characters of alphabets that nobody trained on",
            "72 clients of two alphabets that never train, 50 test drawings each; guessing "
            "reaches 20 %. Prototypical networks take no steps. MAML's and ANIL's rate of "
            "adaptation, .4, is that of Finn et al.; that it works was seen on another alphabet, "
            "Greek, before these two were looked at. In Finn et al. MAML comes to 98.7 % and "
            "99.9 % with 1 and 5 shots, after 60,000 steps over 32 tasks each, of 1,200 characters "
            "turned in four ways.",
        ),
    )
    lines = [
        "# Meta-learning: what new clients reach",
        "",
        "Written by `python -m benchmarks.meta` from the scenarios of `scenarios/meta`, one seed "
        "each. No client of these figures has ever trained ([how that is "
        "measured](../meta-learning.md)).",
    ]
    for kind, title, about in sections:
        rows = [row for row in ROWS if row.startswith(kind) and row in found]
        if not rows:
            continue
        steps = list(found[rows[0]]["after"])
        lines += ["", f"## {title}", "", about, ""]
        heads = " | ".join(steps_text(number) for number in steps)
        lines += [f"| | rounds | {heads} | MB moved | processor seconds |"]
        lines += ["| --- " + "| ---: " * (len(steps) + 3) + "|"]
        for row in rows:
            one = found[row]
            values = " | ".join(text(kind, value) for value in one["after"].values())
            lines += [
                f"| {ROWS[row][1]} | {one['rounds']} | {values} | {one['bytes'] / 1e6:.1f} | "
                f"{one['processor_seconds']:.0f} |"
            ]
    return "\n".join(lines) + "\n"


def text(kind: str, value: float | None) -> str:
    """Return a value as the table has it."""
    if value is None:
        return "not finite"
    if kind == "sinusoids" and value > FAR_OFF:
        return "diverges"
    return f"{value:.2f}" if kind == "sinusoids" else f"{100 * value:.1f} %"


if __name__ == "__main__":
    main()
