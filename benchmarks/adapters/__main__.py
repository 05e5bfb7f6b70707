"""What do adapters cost, and what do they reach? ``python -m benchmarks.adapters``

Built-in scenarios of adapters are run beside the head alone, beside all weights of the same blocks,
and on pooled data (one client). ``docs/results/adapters.json`` keeps what was run, so that a run
that was stopped goes on; ``adapters.md`` is the table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.adapters.cells import NETWORKS, Cell
from benchmarks.speed.table import machine
from fedlab.files import write_whole
from fedlab.metrics.names import headline
from fedlab.results.reading import RunRecord
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import load

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results"
HEAD = """# Adapters: what they reach, and what travels

Made by `python -m benchmarks.adapters`: built-in scenarios of [adapters](../adapters.md), and the
same clients, rounds and head-first phase with something else trained; *weights* is how many are
trained in the last phase. *Accuracy* is that of the weights that the run ends with on the server's
test examples, of one seed; *MB* is what one client sends and receives in the whole run, and
*mismatch* the largest of all rounds'
‖Σ pᵢ Bᵢ Aᵢ − B̄ Ā‖ / ‖Σ pᵢ Bᵢ Aᵢ‖, which FedEx-LoRA adds to the weights and plain averaging loses.
Rates and rounds of `lora-vit` and `lora-cnn` were chosen with these accuracies in view, and those
of `lora-top-k-fedadam` twice changed after them: figures are as much too good as that makes them.
Rows came from several runs of the command's cells, and the machine named below is that of the last.
On pooled data one client holds all examples.
Seconds are those of rounds, on a machine that did other things at the same time.
"""
Row = dict[str, Any]


def main() -> None:
    """Run what is not there yet, and write the table."""
    arguments = _arguments()
    known = RESULTS / "adapters.json"
    content: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    for seed in range(1, arguments.seeds + 1):
        for network in arguments.only:
            for cell in NETWORKS[network][1]:
                key = f"{network}/{cell.what}/{seed}"
                rows = content.setdefault("rows", {})
                if key in rows:
                    continue
                rows[key] = outcome(cell, seed)
                print(key, rows[key], flush=True)
                about = machine(ROOT)
                content["machine"] = {k: about[k] for k in ("processor", "versions", "date")}
                write_whole(known, (json.dumps(content, indent=1) + "\n").encode())
    write_whole(RESULTS / "adapters.md", page(content).encode())


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.adapters")
    parser.add_argument("--only", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=1)
    return parser.parse_args()


def outcome(cell: Cell, seed: int) -> Row:
    """Return what a run comes to; clients are run in this process."""
    alone = ("engine.name=inline", "evaluation.baselines=[]", f"seed={seed}")
    scenario = load(cell.scenario, [*cell.overrides, *alone])
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder.create(Path(place), "run", scenario)
        if run(folder).status != "finished":
            raise SystemExit("stopped; the same command goes on")
        return row_of(folder.path, scenario.data.partition.clients)


def row_of(path: Path, clients: int) -> Row:
    """Return the figures of a finished run in which all clients take part in every round."""
    record = RunRecord.load(path)
    summary = json.loads((path / "summary.json").read_text())
    metric = headline(summary["test"])
    assert metric is not None
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    mismatch = [line.get("strategy", {}).get("product_mismatch", 0.0) for line in lines]
    return {
        "accuracy": round(summary["test"][metric.name], 4),
        "best": round(summary["best"][metric.name], 4),
        "rounds": summary["rounds"],
        "trained": summary["parameters"]["trained"],
        "megabytes": round(record.bytes_moved / clients / 1e6, 2),
        "seconds": round(summary["seconds"]),
        **({"mismatch": round(max(mismatch), 4)} if any(mismatch) else {}),
    }


def page(content: Mapping[str, Any]) -> str:
    """Return the Markdown page."""
    lines = [HEAD]
    for network, (title, cells) in NETWORKS.items():
        rows = list(_rows(network, cells, content.get("rows", {})))
        if rows:
            lines += [f"## {title}", "", *_header(), *rows, ""]
    lines += _missing(content.get("rows", {}))
    lines += [f"{key}: {value}  " for key, value in content.get("machine", {}).items()]
    return "\n".join(lines) + "\n"


def _missing(known: Mapping[str, Row]) -> Iterator[str]:
    """Yield a line of what has not been run, if anything."""
    done = {key.rpartition("/")[0] for key in known}
    left = [
        f"{n}: {c.what}"
        for n, (_, own) in NETWORKS.items()
        for c in own
        if f"{n}/{c.what}" not in done
    ]
    if left:
        yield from (f"Not run yet: {'; '.join(left)}.", "")


def _header() -> tuple[str, str]:
    return (
        "| trained | accuracy | best round | weights | MB a client | seconds | mismatch |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    )


def _rows(network: str, cells: Sequence[Cell], known: Mapping[str, Row]) -> Iterator[str]:
    for cell in cells:
        found = [r for key, r in known.items() if key.startswith(f"{network}/{cell.what}/")]
        if found:
            mismatch = [row["mismatch"] for row in found if "mismatch" in row]
            yield (
                f"| {cell.what} | {100 * mean(r['accuracy'] for r in found):.1f} | "
                f"{100 * mean(r['best'] for r in found):.1f} | {found[0]['trained']:,} | "
                f"{mean(r['megabytes'] for r in found):.1f} | "
                f"{mean(r['seconds'] for r in found):.0f} | "
                f"{f'{mean(mismatch):.3f}' if mismatch else '–'} |"
            )


if __name__ == "__main__":
    main()
