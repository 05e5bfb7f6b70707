"""Flower's stock simulation of a workload, written as Flower's documentation recommends.

    python -m benchmarks.speed.stock_flower WORKLOAD.toml [DEVICE]

Each client uses one CPU, and a quarter of a CUDA card, as Flower's documentation has it; an actor
process loads the data once and keeps it.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

for name in ("FLWR_TELEMETRY_ENABLED", "RAY_USAGE_STATS_ENABLED"):
    os.environ[name] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # noqa: E402
from flwr.simulation import run_simulation  # noqa: E402

from benchmarks.speed.reference import Work, accuracy, load_work, report, train_client  # noqa: E402

WORKLOAD, DEVICE = "FEDLAB_BENCHMARK_WORKLOAD", "FEDLAB_BENCHMARK_DEVICE"
client_app = ClientApp()
server_app = ServerApp()


@lru_cache(maxsize=1)
def work() -> Work:
    """Return this process's copy of the work."""
    return load_work(Path(os.environ[WORKLOAD]), os.environ.get(DEVICE, "cpu"))


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Train one client."""
    module = work().module
    module.load_state_dict(message.content["arrays"].to_torch_state_dict())  # type: ignore[union-attr]
    rows = work().parts[int(context.node_config["partition-id"])]
    train_client(module, work(), rows)
    content = RecordDict(
        {
            "arrays": ArrayRecord(module.state_dict()),  # type: ignore[arg-type]
            "metrics": MetricRecord({"num-examples": len(rows)}),
        }
    )
    return Message(content, reply_to=message)


class Told(FedAvg):
    """FedAvg that reports the end of each round."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        """Aggregate, then report the round."""
        outcome = super().aggregate_train(server_round, replies)
        report(round=server_round)
        return outcome


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run all rounds."""
    strategy = Told(
        fraction_train=work().cohort / len(work().parts), fraction_evaluate=0.0, min_train_nodes=1
    )
    state: Any = work().module.state_dict()
    result = strategy.start(grid, ArrayRecord(state), num_rounds=work().rounds)
    work().module.load_state_dict(result.arrays.to_torch_state_dict())
    report(accuracy=accuracy(work().module, work()))


if __name__ == "__main__":
    os.environ[WORKLOAD] = os.path.abspath(sys.argv[1])
    os.environ[DEVICE] = device = (sys.argv[2:] or ["cpu"])[0]
    from benchmarks.speed import stock_flower

    share = 0.25 if device.startswith("cuda") else 0.0
    run_simulation(
        stock_flower.server_app,
        stock_flower.client_app,
        len(work().parts),
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": share}},
    )
