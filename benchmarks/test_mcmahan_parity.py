"""fedlab's accuracy on McMahan's set-up lies within noise of plain PyTorch's.

    pytest benchmarks/test_mcmahan_parity.py -m slow -s

The noise is what seeds alone make in the plain runs; fedlab's mean over seeds must lie within three
standard errors of the plain mean.
"""

from pathlib import Path
from statistics import mean, stdev

import pytest
import torch

from benchmarks.plain_fedavg import federated_averaging
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import load
from fedlab.scenario.parts import load_federation

ROUNDS = 8
SEEDS = (0, 1, 2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_accuracy_is_within_noise_of_plain_pytorch(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    dataset = load_federation(load("mcmahan-fashion-mnist")).dataset
    train = (dataset.train.inputs.float() / 255, dataset.train.targets)
    test = (dataset.test.inputs.float() / 255, dataset.test.targets)
    ours, plain = [], []
    for seed in SEEDS:
        scenario = load("mcmahan-fashion-mnist", [f"rounds={ROUNDS}", f"seed={seed}"])
        folder = RunFolder.create(tmp_path, "parity", scenario)
        run(folder)
        ours.append(list(folder.lines("metrics.jsonl"))[-1]["test"]["accuracy"])
        plain.append(list(federated_averaging(train, test, ROUNDS, seed))[-1])
    spread = max(stdev(ours), stdev(plain), 0.003)
    print(f"fedlab {ours} plain {plain} spread {spread:.4f}")
    assert abs(mean(ours) - mean(plain)) < 3 * spread * (2 / len(SEEDS)) ** 0.5
