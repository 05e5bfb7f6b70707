"""A workload on BlazeFL, with its own federated averaging in two processes and shared memory.

FOLDER/.venv/bin/python FOLDER/run.py SCENARIO.toml FOLDER_OF_FASHION_MNIST
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from blazefl.contrib.fedavg import (
    FedAvgBaseServerHandler,
    FedAvgPartitionedDataset,
    FedAvgPartitionType,
    FedAvgProcessPoolClientTrainer,
)
from blazefl.core import IPCMode, ModelSelector
from blazefl.reproducibility import setup_reproducibility
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.append(str(Path(__file__).parents[1]))

from architectures import build
from workload import Workload, load_workload, report

PROCESSES = 2


class Architectures(ModelSelector):
    """Constructs the models that BlazeFL requests by name."""

    def select_model(self, model_name: str) -> nn.Module:
        """Return a new model."""
        return build(model_name)


class Pictures(FedAvgPartitionedDataset):
    """All clients' pictures in shared memory, so that workers receive handles instead of data."""

    def __init__(self, work: Workload) -> None:
        parts = [np.concatenate(arrays) for arrays in zip(*work.clients, strict=True)]
        self.train = [torch.from_numpy(array).share_memory_() for array in parts]
        self.test = [torch.from_numpy(array).share_memory_() for array in work.test]
        ends = np.cumsum([len(labels) for _, labels in work.clients])
        self.bounds = [0, *ends.tolist()]

    def get_dataset(self, type_: FedAvgPartitionType, cid: int | None) -> TensorDataset:
        """Return one client's training pictures, or the test set."""
        if type_ == FedAvgPartitionType.TEST or cid is None:
            return TensorDataset(*self.test)
        start, end = self.bounds[cid : cid + 2]
        return TensorDataset(*(tensor[start:end] for tensor in self.train))

    def get_dataloader(
        self,
        type_: FedAvgPartitionType,
        cid: int | None,
        batch_size: int | None,
        generator: torch.Generator | None = None,
    ) -> DataLoader:
        """Return shuffled training batches, or the test set in order."""
        training = type_ == FedAvgPartitionType.TRAIN
        return DataLoader(
            self.get_dataset(type_, cid), batch_size, shuffle=training, generator=generator
        )


class Trainer(FedAvgProcessPoolClientTrainer):
    """BlazeFL's trainer without its progress bar."""

    def progress_fn(self, it: list) -> list:
        """Return the jobs as they are."""
        return it


def main() -> None:
    """Run a workload's rounds."""
    torch.set_num_threads(1)
    work = load_workload()
    setup_reproducibility(work.seed)
    # BlazeFL forks new processes every round: the modules that PyTorch imports for a process's
    # first optimiser (about two seconds) are imported here once, before.
    torch.optim.SGD(build(work.model).parameters(), work.rate)
    data, models = Pictures(work), Architectures()
    server = FedAvgBaseServerHandler(
        models,
        work.model,
        data,
        global_round=work.rounds,
        num_clients=len(work.clients),
        sample_ratio=(work.cohort + 0.5) / len(work.clients),
        device="cpu",
        batch_size=500,
        seed=work.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            models,
            work.model,
            Path(folder) / "share",
            Path(folder) / "state",
            data,
            device="cpu",
            num_clients=len(work.clients),
            epochs=1,
            batch_size=work.batch_size,
            lr=work.rate,
            seed=work.seed,
            num_parallels=PROCESSES,
            ipc_mode=IPCMode.SHARED_MEMORY,
        )
        while not server.if_stop():
            trainer.local_process(server.downlink_package(), server.sample_clients())
            for package in trainer.uplink_package():
                server.load(package)
            report(round=server.round)
    report(accuracy=server.get_summary()["server_acc"])


if __name__ == "__main__":
    main()
