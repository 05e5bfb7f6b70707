"""Five small runs end in the bits that they ended in when they were recorded.

Between them they cover stacked clients, clients' states, local batch norm, collusion, update
processors, stragglers and features of a pretrained backbone. The last bits of a matrix product
depend on the processor and the libraries, so the check is made on the kinds of machine that they
were recorded on, and skipped elsewhere.
"""

import json
import platform
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import loads

DIGITS = """
rounds = 3
[data]
name = "digits"
validation = 0.2
client_test = 0.1
[data.partition]
name = "dirichlet"
clients = 6
alpha = 0.5
[evaluation]
federated = true
"""
RUNS = {
    "stacked": """
[model]
name = "mlp"
hidden = [32]
[client]
name = "scaffold"
epochs = 2
l2 = 1e-4
[client.optimizer]
lr = 0.1
momentum = 0.9
[strategy]
name = "scaffold"
[engine]
name = "ray"
workers = 2
""",
    "batch-norm": """
[model]
name = "cnn"
batch_norm = "local"
layers = [{channels = 8, kernel_size = 3, batch_norm = true, pooling = "max"}]
[client]
name = "moon"
batch_size = 16
[strategy]
name = "fedavg"
[engine]
name = "inline"
""",
    "collusion": """
[model]
name = "cnn"
layers = [{channels = 8, kernel_size = 3}]
[client]
name = "worker-momentum"
[client.optimizer]
lr = 0.02
[strategy]
name = "bucketing"
inner = { name = "krum", num_malicious_nodes = 0, fraction_train = 1.0 }
[attack]
name = "alie"
fraction = 0.2
[engine]
name = "inline"
""",
    "private": """
[model]
name = "mlp"
hidden = [16]
[[updates]]
name = "adaptive-clipping"
[client.stragglers]
fraction = 0.3
drop = true
[strategy]
name = "dp-client-adaptive-clipping"
noise_multiplier = 0.05
num_sampled_clients = 6
clipped_count_stddev = 0.5
initial_clipping_norm = 0.5
[strategy.inner]
name = "fedavgm"
server_momentum = 0.5
[engine]
name = "ray"
workers = 2
""",
    "pretrained": """
[model]
name = "tf_efficientnet_lite0"
pretrained = "package"
trainable = "last:1"
image_size = 32
[client]
batch_size = 16
[client.optimizer]
name = "adamw"
lr = 1e-3
weight_decay = 0.01
[strategy]
name = "fedadam"
eta = 0.01
tau = 1e-3
[engine]
name = "ray"
workers = 2
""",
}
RECORDED = {
    ("x86_64", "AMD EPYC", "AVX2", "2.15", "2.4"): {
        "stacked": "583452153614d4e78599904276ccda1ec567852044a3a47c6181a03de4cbea35",
        "batch-norm": "0c37ddcef35da071e2d63be28e6eae70fd7ba7f922d449cfeae7bc559e2fe831",
        "collusion": "c62b8ad1be051834b8f79141c9e139ff06e2b258ac4eac3787b99292334ca34e",
        "private": "ef72b6bd24c95f000a5868eecc9607bc7980219fac07347d4e0714f34c91e8b3",
        "pretrained": "f063258fe33a8ca5fa9a3c28175b723248bdbac57db3f8f0e13b91ef7b22fc8a",
    },
    ("x86_64", "AMD EPYC", "AVX512", "2.15", "2.4"): {
        "stacked": "fa2e349f46cbaace10bf3de5d93e38ab82d651e123ea0677af3aa05c6481d5db",
        "batch-norm": "7c73d770d165752af87a4b7d18e38ba6ea2f487817bc58961f34176a2f58469b",
        "collusion": "20f8f07edd3404623352ef92c1ec578598806ecc42ccbc24ca72bab2cec5d4da",
        "private": "c4cb9dbc29882c09dafeb63937ea4370c0592bc60218917b8284a4d38ed2279e",
        "pretrained": "1b55df2bc2a41565a38b25e350aad4d1c6b47f1921d16483ad08913889ea860f",
    },
}
"""By architecture, processor, torch's vector units, versions of torch and NumPy; then by run."""


def machine() -> tuple[str, ...]:
    """Return this machine as ``RECORDED`` has it."""
    names = (
        {
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        }
        if Path("/proc/cpuinfo").exists()
        else set()
    )
    return (
        platform.machine(),
        next(iter(names), ""),
        torch.backends.cpu.get_cpu_capability(),
        *(".".join(module.__version__.split(".")[:2]) for module in (torch, np)),
    )


@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_in_the_recorded_bits(tmp_path: Path, name: str) -> None:
    if machine() not in RECORDED:
        pytest.skip(f"recorded on {[*RECORDED]}, and this is {machine()}")
    folder = RunFolder.create(tmp_path, name, loads(DIGITS + RUNS[name]))
    run(folder)
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["weights_sha256"] == RECORDED[machine()][name]
