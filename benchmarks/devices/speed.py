"""Speed on a device: fedlab beside a plain loop, Flower's simulation and pfl-research, in turns."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.speed.measurement import measure
from fedlab import assets

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SPEED = ROOT / "benchmarks" / "speed" / "scenarios"
PLAIN = "plain"
WORKLOADS = {
    "w1": SPEED / "w1.toml",
    "resnet18": HERE / "scenarios" / "resnet18.toml",
    "w4": SPEED / "w4.toml",
    "vit-s": HERE / "scenarios" / "vit-s.toml",
}
FEDLAB = {
    "fedlab": ["engine.name=inline"],
    "fedlab, clients one by one": ["engine.name=inline", "engine.vectorised=false"],
    "fedlab, bf16": ["engine.name=inline", "engine.precision=bf16"],
    "fedlab, bits may differ": ["engine.name=inline", "engine.deterministic=false"],
    "fedlab, 2 workers": ["engine.name=ray", "engine.workers=2"],
}
CONTESTANTS = (*list(FEDLAB)[:1], PLAIN, *list(FEDLAB)[1:], "Flower", "pfl-research")
STACKED = ("w1",)
"""Workloads whose clients are stacked on a CUDA card."""
FOR_PEERS = ("w1",)
QUICK = {
    "w1": '[data]\ntrain_examples = 80\n[data.partition]\nclients = 4\n[model]\nname = "cnn"',
    "resnet18": "[data]\npictures = 16\n[data.partition]\nclients = 2",
    "w4": "[data]\ntrain_examples = 8\n[data.partition]\nclients = 2",
    "vit-s": "[data]\ntrain_examples = 4\n[data.partition]\nclients = 2\n"
    "[model]\nimage_size = 28\nblocks = 1",
}
QUICK_FOR_ALL = "[strategy]\nfraction_train = 1.0\n[evaluation]\ntest_examples = 16"
QUICK_CONTESTANTS = ("fedlab", PLAIN)
"""Of a quick run, for workloads after the first."""
NOT_QUICK = ("fedlab, bf16",)
"""A processor without units for it takes minutes."""
LONGEST = 120.0
"""Seconds that one run may take."""
EXPECTED = 25.0
"""Seconds of a run that has not been made yet."""
BETWEEN_LOOKS = 0.5
Line = dict[str, Any]


def command(contestant: str, workload: str, scenario: Path, device: str, runs: str) -> list[str]:
    """Return the command that runs a contestant; nothing where it cannot run here.

    Args:
        contestant: One of ``CONTESTANTS``.
        workload: One of ``WORKLOADS``.
        scenario: Its file.
        device: The device.
        runs: A folder for fedlab's runs.
    """
    if contestant in FEDLAB:
        if "one by one" in contestant and workload not in STACKED:
            return []
        keys = [f"engine.device={device}", *FEDLAB[contestant]]
        options = [option for key in keys for option in ("--set", key)]
        program = str(Path(sys.executable).parent / "fedlab")
        return [program, "run", str(scenario), "--json", "--runs", runs, *options]
    if contestant == PLAIN:
        return [sys.executable, "-m", "benchmarks.speed.plain", str(scenario), "1", device]
    if contestant == "Flower":
        return [sys.executable, "-m", "benchmarks.speed.stock_flower", str(scenario), device]
    folder = ROOT / "benchmarks" / "peers" / contestant
    python = folder / ".venv" / "bin" / "python"
    if workload not in FOR_PEERS or not python.exists():
        return []
    os.environ["PFL_PYTORCH_DEVICE"] = device
    return [str(python), str(folder / "run.py"), str(scenario), str(assets.ensure("fashion-mnist"))]


def runs(device: str, quick: bool, deadline: float, known: list[Line]) -> Iterator[Line]:
    """Yield one line a run: repeat by repeat, workload by workload, contestants taking turns.

    What is known of a repeat is not run again, and nothing is begun that would not end in time by
    what it took before.

    Args:
        device: The device.
        quick: Whether sizes are tiny: one repeat, on the way through every line of this file.
        deadline: When to end, by ``time.monotonic``.
        known: Earlier lines.
    """
    known = list(known)
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(1 if quick else 5):
            for workload in WORKLOADS:
                scenario = _scenario(workload, quick, Path(folder))
                for contestant in CONTESTANTS:
                    if quick and _is_left_out(workload, contestant):
                        continue
                    own = [r for r in known if _names(r) == (workload, contestant)]
                    if any(run["repeat"] == repeat for run in own):
                        continue
                    left = deadline - time.monotonic()
                    if left < max([run["whole"] for run in own], default=EXPECTED):
                        continue
                    asked = command(contestant, workload, scenario, device, folder)
                    if not asked:
                        continue
                    line = _run(asked, device, min(left, LONGEST))
                    names = {"workload": workload, "contestant": contestant, "repeat": repeat}
                    known.append({**names, **line})
                    yield known[-1]


def _is_left_out(workload: str, contestant: str) -> bool:
    """Return whether a quick run leaves a contestant out."""
    if workload == next(iter(WORKLOADS)):
        return contestant in NOT_QUICK
    return contestant not in QUICK_CONTESTANTS


def _names(line: Line) -> tuple[str, str]:
    return line["workload"], line["contestant"]


def _scenario(workload: str, quick: bool, folder: Path) -> Path:
    """Return a workload's scenario, or one of tiny sizes that is built on it."""
    if not quick:
        return WORKLOADS[workload]
    tiny = folder / f"{workload}.toml"
    own = f"{QUICK[workload]}\n{QUICK_FOR_ALL}"
    tiny.write_text(f'extends = "{WORKLOADS[workload]}"\nrounds = 2\n{own}\n')
    return tiny


def _run(asked: list[str], device: str, limit: float) -> Line:
    with watched(device) as peak:
        result = measure(asked, ROOT, limit=limit)
    return {**result.to_json(), "device_peak": peak()}


@contextmanager
def watched(device: str) -> Iterator[Callable[[], int | None]]:
    """Yield what returns the most bytes of a CUDA card that were used, less those used before.

    NVIDIA's own figure counts contexts and caches, whoever holds them; elsewhere it is None.
    """
    before = _used(device)
    most, done = [before or 0], threading.Event()

    def look() -> None:
        while not done.wait(BETWEEN_LOOKS):
            most.append(max(most.pop(), _used(device) or 0))

    if before is not None:
        threading.Thread(target=look, daemon=True).start()
    try:
        yield lambda: None if before is None else most[0] - before
    finally:
        done.set()


def _used(device: str) -> int | None:
    """Return the used bytes of a CUDA card, or None where nobody says."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return None
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(
            [*query, "-i", number or "0"], capture_output=True, text=True, timeout=5, check=True
        )
        return int(said.stdout.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
