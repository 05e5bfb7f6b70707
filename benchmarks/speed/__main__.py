"""Speed and memory against references, interleaved: ``python -m benchmarks.speed``.

Every run is a fresh process; the contestants of a workload take turns, so that other load on
the machine affects all of them. Raw figures are added to ``docs/results/speed.json`` after each run
(an interrupted session can be continued), and ``docs/results/speed.md`` is generated from them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.measurement import measure
from benchmarks.speed.table import machine, page
from fedlab import assets

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS = ROOT / "docs" / "results"
WORKLOADS = ("w1", "w2", "w3", "w4-head", "w4", "w5", "w6")
PEERS = ("pfl-research", "fedjax", "blazefl")
CONTESTANTS = ("fedlab", "fedlab, not vectorised", "plain × 2", "plain × 1", "Flower", *PEERS)
DENSE = {"w2", "w3", "w5"}
FOR_PEERS = {"w1", "w2", "w3"}
WITH_FLOWER = {"w1", "w2", "w3", "w5"}


def command(contestant: str, workload: str, runs: str) -> list[str] | None:
    """Return the command that runs a contestant, or None if it cannot run here."""
    scenario = str(HERE / "scenarios" / f"{workload}.toml")
    if contestant.startswith("fedlab"):
        if contestant != "fedlab" and workload not in DENSE:
            return None
        options = ["--set", "engine.vectorised=false"] if contestant != "fedlab" else []
        return [str(Path(sys.executable).parent / "fedlab"), "run", scenario, "--json",
                "--runs", runs, *options]  # fmt: skip
    if contestant.startswith("plain"):
        return [sys.executable, "-m", "benchmarks.speed.plain", scenario, contestant[-1]]
    if contestant == "Flower":
        flower = [sys.executable, "-m", "benchmarks.speed.stock_flower", scenario]
        return flower if workload in WITH_FLOWER else None
    folder = ROOT / "benchmarks" / "peers" / contestant
    python = folder / ".venv" / "bin" / "python"
    if workload not in FOR_PEERS or not python.exists():
        return None
    data = str(assets.ensure("fashion-mnist"))
    return [str(python), str(folder / "run.py"), scenario, data]


def main() -> None:
    """Run the requested measurements, and write the page."""
    arguments = _arguments()
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / "speed.json"
    if arguments.fresh or not file.exists():
        content: dict[str, Any] = {"runs": []}
    else:
        content = json.loads(file.read_text())
    content["machine"] = machine(ROOT)
    if not arguments.table_only:
        for repeat in range(arguments.repeats):
            for workload in arguments.workloads:
                for contestant in arguments.contestants:
                    _run(contestant, workload, repeat, content, file)
    (RESULTS / "speed.md").write_text(page(content, WORKLOADS, CONTESTANTS))


def _run(contestant: str, workload: str, repeat: int, content: dict[str, Any], file: Path) -> None:
    with tempfile.TemporaryDirectory() as runs:
        asked = command(contestant, workload, runs)
        if asked is None:
            return
        result = measure(asked, ROOT)
    summary = result.problem or (
        f"{result.seconds_a_round * 1e3:.1f} ms a round, {result.ends[0]:.1f} s to the first, "
        f"{result.whole:.1f} s in all, {result.peak / 1e9:.2f} GB, accuracy {result.accuracy}"
    )
    print(f"{workload} {contestant}: {summary}", flush=True)
    content["runs"].append(
        {"workload": workload, "contestant": contestant, "repeat": repeat, **result.to_json()}
    )
    file.write_text(json.dumps(content, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    names = {"type": lambda text: text.split(","), "help": "comma-separated"}
    parser.add_argument("--workloads", default=list(WORKLOADS), **names)  # type: ignore[arg-type]
    parser.add_argument("--contestants", default=list(CONTESTANTS), **names)  # type: ignore[arg-type]
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fresh", action="store_true", help="forget earlier figures")
    parser.add_argument("--table-only", action="store_true", help="only write the page anew")
    return parser.parse_args()


if __name__ == "__main__":
    main()
