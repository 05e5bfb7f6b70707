"""A Ray cluster of two nodes on this machine, each with a CPU for one worker."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RAY = str(Path(sys.executable).parent / "ray")
SECONDS_TO_START = 120.0


@contextmanager
def two_nodes(port: int) -> Iterator[str]:
    """Run a head and another node, of one CPU each; yield the cluster's address."""
    address = f"127.0.0.1:{port}"
    # Short, as sockets' paths must be.
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp", ignore_cleanup_errors=True) as place:
        common = ["--num-cpus", "1", "--node-ip-address", "127.0.0.1", "--disable-usage-stats"]
        common += ["--min-worker-port", "0", "--max-worker-port", "0", "--block"]
        head = ["--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", place]
        nodes = []
        try:
            for node in (head, ["--address", address]):
                nodes.append(
                    subprocess.Popen([RAY, "start", *node, *common], stdout=subprocess.DEVNULL)
                )
                _wait(address, len(nodes))
            yield address
        finally:
            for process in reversed(nodes):
                process.terminate()
            for process in nodes:
                process.wait()


def _wait(address: str, count: int) -> None:
    """Wait until so many nodes are there."""
    code = (
        "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR');"
        "print(sum(node['Alive'] for node in ray.nodes()))"
    )
    until = time.monotonic() + SECONDS_TO_START
    while True:
        asked = subprocess.run(
            [sys.executable, "-c", code, address], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0 and int(asked.stdout.split()[-1]) >= count:
            return
        assert time.monotonic() < until, f"the cluster has not started: {asked.stderr[-500:]}"
