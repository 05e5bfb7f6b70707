"""A long run holds no more memory than a short one."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.measurement import Measurement, measure

ROUNDS, WARM_UP = 1000, 300
SMALL = f"""
rounds = {ROUNDS}
[data]
name = "iris"
[data.partition]
name = "iid"
clients = 30
[model]
name = "mlp"
hidden = [8]
[engine]
workers = 2
"""


class Private:
    """Bytes of its own that each process of a run has, by what it is, and the rounds done."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def __call__(self, so_far: Measurement, processes: list[int], held: int) -> None:
        total = 0
        for process in processes:
            try:
                name = Path(f"/proc/{process}/comm").read_text().strip()
                lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            own = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
            total += own
            self.seen[name].append((len(so_far.ends), own))
        self.seen["all"].append((len(so_far.ends), total))

    def growth(self, name: str) -> float:
        """Return the slope in bytes a round, once what is filled once has been filled."""
        rounds, held = np.array(self.seen[name], dtype=float).T
        kept = (rounds >= WARM_UP) & (rounds < ROUNDS)
        return float(np.polyfit(rounds[kept], held[kept], 1)[0])


@pytest.mark.slow
def test_a_thousand_rounds_on_ray_do_not_grow(tmp_path: Path) -> None:
    scenario = tmp_path / "small.toml"
    scenario.write_text(SMALL)
    watch = Private()
    command = [sys.executable, "-m", "fedlab", "run", str(scenario), "--json"]
    result = measure([*command, "--runs", str(tmp_path / "runs")], tmp_path, watch)
    assert not result.problem
    assert len(result.ends) == ROUNDS
    # It kept a record of each call, 24 kB a round, until it had a hundred thousand of them.
    assert watch.growth("gcs_server") < 4_000
    # The processes of Python go up and down by some megabytes.
    assert watch.growth("all") < 30_000
