"""What a strategy that distils works with: the server's model, and inputs that anybody may see."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fedlab.data.transforms import Preparation
from fedlab.models.network import Network
from fedlab.process import torch_threads
from fedlab.training.evaluation import predict


@dataclass(frozen=True)
class PublicInputs:
    """The inputs of the public examples, without their labels, and the server's copy of the model.

    Attributes:
        network: The model; whoever computes loads its weights first.
        inputs: (N, ...) as they are stored.
        prepare: Turns them into what the model takes.
        threads: torch threads, as many as a client has on any engine.
    """

    network: Network
    inputs: torch.Tensor
    prepare: Preparation
    threads: int

    def __len__(self) -> int:
        return len(self.inputs)

    def outputs(self, wire: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> torch.Tensor:
        """Return (rows, outputs) what the model says with these weights, in evaluation mode.

        Args:
            wire: (wire_size,) the weights, with the running statistics of their batch norm.
            rows: Which inputs.
        """
        self.network.model.reset(torch.tensor(wire, dtype=torch.float32))
        return predict(self.network, self.inputs[torch.from_numpy(rows)], self.prepare)

    def computing(self) -> AbstractContextManager[None]:
        """Compute with a client's number of threads inside the block: the same bits everywhere."""
        return torch_threads(self.threads)
