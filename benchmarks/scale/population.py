"""The cost of a round over a population in one process.

    python -m benchmarks.scale.population SCENARIO KEY CLIENTS

Clients run in this process, so that its processor time is the whole cost of the round: it
distinguishes two populations also on a busy machine.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from itertools import pairwise

from fedlab.run.callbacks import Callback, RoundOutcome
from fedlab.run.rounds import Rounds
from fedlab.run.simulation import Simulation
from fedlab.scenario import load

COHORT = 100
ROUNDS = 12


class Clock(Callback):
    """Records the processor time, and the time of sampling the cohort, at the end of each round."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.drawing: list[float] = []

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        """Record them."""
        self.ends.append(time.process_time())
        self.drawing.append(outcome.record.get("seconds", {}).get("configure", 0.0))


def main(scenario: str, key: str, clients: int) -> None:
    """Run some rounds and print their cost."""
    start = time.process_time()
    overrides = {
        key: clients,
        "strategy.fraction_train": COHORT / clients,
        "rounds": ROUNDS,
        "evaluation.every": 100_000,
        "engine.name": "inline",
    }
    checked = load(scenario, [f"{name}={value}" for name, value in overrides.items()])
    with Simulation(checked) as simulation:
        ready, clock = time.process_time(), Clock()
        simulation.rounds([clock]).run()
    # The first round includes what happens once, the last one the evaluation.
    ends = clock.ends[1:-1]
    costs = {
        "setup": ready - start,
        "round": statistics.median(b - a for a, b in pairwise(ends)),
        "draw": statistics.median(clock.drawing[2:]),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(costs))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
