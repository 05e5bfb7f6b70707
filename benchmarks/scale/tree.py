"""A thousand machines, computed from what one measures: ``python -m benchmarks.scale.tree``.

Measured are the costs at the one process that holds the strategy: of a client, of a call to a
worker, of a byte that comes back, and of adding a value up. From these the page computes rounds on
many machines, with every block's sum sent to that process, and with one sum a machine. A tree of a
thousand aggregators over made-up sums checks the arithmetic: seconds at its root against the
prediction, and its bits against those of the flat sum. ``docs/results/tree.md`` is the page.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.table import machine
from fedlab.engine.blocks import usual_length
from fedlab.engine.ray.start import ensure_started
from fedlab.files import write_whole
from fedlab.run.simulation import Simulation
from fedlab.scenario import loads
from fedlab.wire.sums import WeightedSum

ROOT = Path(__file__).parent.parent.parent
NODES, WORKERS = 1_000, 16
CALLS, REPEATS = 300, 5
LARGE = 8 << 20
ROUNDS, POPULATION, COHORTS = 4, 100_000, (200, 2_200)
AGGREGATORS, BLOCKS_EACH, VALUES = 1_000, 16, 1 << 16
SPREAD = 6
"""Decades that the made-up weights spread over."""
NAME = ("weights", "weights")
IDLE = """
rounds = {rounds}
model = {{ name = "linear" }}
client = {{ steps = 1, batch_size = 2 }}
strategy = {{ fraction_train = {fraction} }}
engine = {{ name = "ray", workers = 1, vectorised = false }}
evaluation = {{ every = 1000 }}
[data]
name = "digits"
partition = {{ name = "virtual", clients = {clients}, examples = 2, size_sigma = 0.0 }}
"""


@dataclass(frozen=True)
class Costs:
    """Seconds at the process that holds the strategy.

    Attributes:
        client: Of one client more in a cohort.
        call: Of one call to a worker.
        byte: Of a byte that comes back from a worker.
        value: Of adding one value up.
    """

    client: float
    call: float
    byte: float
    value: float


@dataclass(frozen=True)
class Job:
    """A round on many machines.

    Attributes:
        model: What is trained.
        values: Its weights.
        seconds: What a client takes.
        cohort: Clients.
    """

    model: str
    values: int
    seconds: float
    cohort: int

    @property
    def blocks(self) -> int:
        """Return how many blocks the cohort makes."""
        return -(-self.cohort // usual_length(self.cohort))

    def training(self) -> float:
        """Return the seconds that workers take: blocks are dealt out whole."""
        turns = -(-self.blocks // (NODES * WORKERS))
        return turns * -(-self.cohort // self.blocks) * self.seconds

    def root(self, costs: Costs, sums: int) -> float:
        """Return the seconds of the one process that takes so many sums."""
        a_sum = costs.call + self.values * (8 * costs.byte + costs.value)
        return self.cohort * costs.client + sums * a_sum


MLP, CNN = ("MLP, 0.2 M weights", 200_000, 0.0024), ("CNN, 1.7 M", 1_663_370, 0.8)
BACKBONE, VIT = ("EfficientNet-Lite0, 3.4 M", 3_384_000, 15.0), ("ViT-Base, 86 M", 86_000_000, 60.0)
JOBS = [
    Job(*model, cohort)
    for model, cohort in [
        (MLP, 10_000),
        (MLP, 10_000_000),
        (CNN, 10_000),
        (CNN, 10_000_000),
        (BACKBONE, 10_000),
        (BACKBONE, 10_000_000),
        (VIT, 10_000),
    ]
]


def measured() -> Costs:
    """Return the costs on this machine."""
    call, byte = _of_calls()
    return Costs(_of_clients(), call, byte, _of_adding())


def _of_clients() -> float:
    """Return what a client costs this process, while another one trains it."""

    def a_round(cohort: int) -> float:
        text = IDLE.format(rounds=ROUNDS, clients=POPULATION, fraction=cohort / POPULATION)
        with Simulation(loads(text)) as simulation:
            rounds = simulation.rounds()
            start = time.process_time()
            rounds.run()
        return (time.process_time() - start) / ROUNDS

    few, many = COHORTS
    a_round(few)
    return (a_round(many) - a_round(few)) / (many - few)


def _of_calls() -> tuple[float, float]:
    """Return seconds of a call to a Ray actor, and of a byte that it returns."""
    ray, _ = ensure_started(None)
    try:
        actor = ray.remote(_Source).remote()
        ray.get(actor.values.remote(1))

        def seconds(values: int, calls: int) -> float:
            start = time.perf_counter()
            for reference in [actor.values.remote(values) for _ in range(calls)]:
                np.asarray(ray.get(reference)).max()
            return (time.perf_counter() - start) / calls

        call = statistics.median(seconds(1, CALLS) for _ in range(REPEATS))
        large = statistics.median(seconds(LARGE // 8, CALLS // 10) for _ in range(REPEATS))
        return call, max(0.0, large - call) / LARGE
    finally:
        ray.shutdown()


class _Source:
    def values(self, count: int) -> Any:
        """Return float64 values, as a block's sum has."""
        return np.ones(count)


def _of_adding() -> float:
    sums = [_sum(np.ones(1 << 22)) for _ in range(REPEATS + 2)]
    total, seconds = sums[0], []
    total.merge(sums[1])
    for part in sums[2:]:
        start = time.perf_counter()
        total.merge(part)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) / (1 << 22)


def _sum(values: Any) -> WeightedSum:
    """Return values as a block's sum of two clients."""
    made = WeightedSum()
    for _ in range(2):
        made.add(1.0, {NAME: (values / 2).astype(np.float32)}, {})
    return made


@dataclass(frozen=True)
class Tree:
    """A tree of aggregators beside a flat sum, over the same blocks' sums.

    Attributes:
        flat: Seconds of adding all blocks' sums in one place.
        root: Seconds of adding the aggregators' sums.
        doubles: Share of values whose double-precision sum differs.
        singles: Share of values that differ as float32, as which they are sent.
    """

    flat: float
    root: float
    doubles: float
    singles: float


def simulated() -> Tree:
    """Return a tree of a thousand aggregators over made-up blocks' sums."""
    generator = np.random.default_rng(0)
    scale = 10.0 ** generator.uniform(-SPREAD, 0.0, VALUES)
    flat, nodes, seconds = np.zeros(VALUES), [], 0.0
    for _ in range(AGGREGATORS):
        drawn = generator.standard_normal((BLOCKS_EACH, VALUES)) * scale
        # As Σ nᵢ xᵢ of float32 weights is.
        blocks = drawn.astype(np.float32).astype(np.float64) * 60
        start = time.perf_counter()
        for block in blocks:
            flat += block
        seconds += time.perf_counter() - start
        own = np.zeros(VALUES)
        for block in blocks:
            own += block
        nodes.append(own)
    start = time.perf_counter()
    total = np.zeros(VALUES)
    for own in nodes:
        total += own
    root = time.perf_counter() - start
    examples = 60.0 * AGGREGATORS * BLOCKS_EACH
    singles = (flat / examples).astype(np.float32) != (total / examples).astype(np.float32)
    return Tree(seconds, root, float((flat != total).mean()), float(singles.mean()))


HEAD = """# A thousand machines, computed

Made by `python -m benchmarks.scale.tree`, which says how; [Scale](../scale.md) says what follows.
"""


def page(costs: Costs, tree: Tree, about: dict[str, Any]) -> str:
    """Return the Markdown page."""
    lines = [HEAD, f"{about['processor']}; {about['versions']}; {about['date']}.", ""]
    lines += ["| at the process that holds the strategy | |", "| --- | ---: |"]
    lines += [
        f"| a client: its message, report and metrics | {costs.client * 1e6:.0f} µs |",
        f"| a call to a worker | {costs.call * 1e6:.0f} µs |",
        f"| a byte that comes back, through shared memory | {costs.byte * 1e9:.2f} ns |",
        f"| adding a value up | {costs.value * 1e9:.2f} ns |",
        "",
        f"Rounds on {NODES:,} machines of {WORKERS} workers; *a sum a machine* is computed, not",
        "built:",
        "",
        *_rounds(costs),
        "",
        f"A tree of {AGGREGATORS:,} aggregators of {BLOCKS_EACH} blocks each, {VALUES:,} values",
        f"over {SPREAD} decades: the flat sum takes {tree.flat:.2f} s, the tree's root",
        f"{tree.root:.3f} s: a ratio of {tree.flat / tree.root:.1f} where the arithmetic says",
        f"{BLOCKS_EACH}. Of the sums in doubles {100 * tree.doubles:.1f} % differ in their",
        f"last bits, and of the means as float32, as they are sent, {_of_million(tree.singles)}.",
    ]
    return "\n".join(lines) + "\n"


def _of_million(share: float) -> str:
    return f"{1e6 * share:.0f} of a million" if share else "none"


def _rounds(costs: Costs) -> Iterator[str]:
    yield "| model | cohort | blocks | training | the process, a sum a block | a sum a machine |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for job in JOBS:
        flat, tree = job.root(costs, job.blocks), job.root(costs, min(NODES, job.blocks))
        yield (
            f"| {job.model} | {job.cohort:,} | {job.blocks:,} | {job.training():,.1f} s | "
            f"{flat:,.1f} s | {tree:,.1f} s |"
        )


def main() -> None:
    """Measure, compute, and write the page."""
    text = page(measured(), simulated(), machine(ROOT))
    write_whole(ROOT / "docs" / "results" / "tree.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
