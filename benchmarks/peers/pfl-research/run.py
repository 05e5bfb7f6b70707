"""A workload on pfl-research, in two processes that torchrun starts, or in one on a card.

FOLDER/.venv/bin/python FOLDER/run.py SCENARIO.toml FOLDER_OF_FASHION_MNIST

``PFL_PYTORCH_DEVICE``, which pfl reads, says on which device; without it, the CPU.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import nn
from torch.nn import functional

sys.path.append(str(Path(__file__).parents[1]))

from architectures import build
from workload import Workload, load_workload, report

DEVICE = os.environ.setdefault("PFL_PYTORCH_DEVICE", "cpu")
PROCESSES = 2 if DEVICE == "cpu" else 1
Tensors = tuple[torch.Tensor, torch.Tensor]


class Classifier(nn.Module):
    """A network with the two methods that pfl requires of a model."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, pictures: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean cross entropy of a batch."""
        self.train()
        return functional.cross_entropy(self.network(pictures), labels)

    @torch.no_grad()
    def metrics(self, pictures: torch.Tensor, labels: torch.Tensor) -> dict[str, Weighted]:
        """Return the accuracy of a batch."""
        self.eval()
        hits = (self.network(pictures).argmax(-1) == labels).sum().item()
        return {"accuracy": Weighted(hits, len(labels))}


class Told(TrainingProcessCallback[PyTorchModel]):
    """Reports the end of each round, from the first process."""

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """Report the round; never stop, add no metrics."""
        if is_first():
            report(round=central_iteration + 1)
        return False, Metrics()


def is_first() -> bool:
    """Return whether this is the process that reports."""
    return os.environ["RANK"] == "0"


def tensors(pictures: np.ndarray, labels: np.ndarray) -> Tensors:
    """Return a client's data as pfl's in-memory data set."""
    return torch.from_numpy(pictures).to(DEVICE), torch.from_numpy(labels).to(DEVICE)


def train(work: Workload) -> PyTorchModel:
    """Run a workload's rounds."""
    torch.manual_seed(work.seed)
    np.random.seed(work.seed)
    network = Classifier(build(work.model))
    model = PyTorchModel(
        network,
        local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
    )
    users = {number: tensors(*part) for number, part in enumerate(work.clients)}
    data = FederatedDataset.from_slices(users, get_user_sampler("random", list(users)))
    trained: PyTorchModel = FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=work.rounds,
            evaluation_frequency=work.rounds,
            train_cohort_size=work.cohort,
            val_cohort_size=0,
        ),
        backend=SimulatedBackend(data, data, postprocessors=[WeightByDatapoints()]),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=work.rate, local_batch_size=work.batch_size
        ),
        model_eval_params=NNEvalHyperParams(local_batch_size=500),
        callbacks=[Told()],
        send_metrics_to_platform=False,
    )
    return trained


def main() -> None:
    """Train, then report the accuracy."""
    work = load_workload()
    model = train(work)
    if is_first():
        metrics: Any = model.evaluate(
            Dataset(tensors(*work.test)), eval_params=NNEvalHyperParams(local_batch_size=500)
        )
        report(accuracy=next(value.overall_value for _, value in metrics))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def start_processes() -> None:
    """Replace this process by torchrun, which runs this file in processes of one thread."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.execv(sys.executable, [sys.executable, *launcher, *sys.argv])


if __name__ == "__main__":
    if "TORCHELASTIC_RUN_ID" in os.environ:
        main()
    else:
        start_processes()
