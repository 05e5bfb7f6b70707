"""What a strategy that distils works with: the server's model, and inputs that anybody may see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fedlab.copying import to_device
from fedlab.data.dataset import Examples
from fedlab.data.transforms import Preparation
from fedlab.determinism import deterministic
from fedlab.models.network import Network
from fedlab.process import torch_threads
from fedlab.training.evaluation import ROWS_PER_BATCH


@dataclass(frozen=True)
class PublicInputs:
    """The inputs of the public examples, without their labels, and the server's copy of the model.

    Attributes:
        network: The model, on the server's device; whoever computes loads its weights first.
        examples: The public examples there, or what moves them there as they are looked at.
        prepare: Turns their inputs into what the model takes.
        threads: torch threads, as many as a client has on any engine.
        deterministic: Whether the device computes by algorithms with the same bits in every run.
    """

    network: Network
    examples: Examples
    prepare: Preparation
    threads: int
    deterministic: bool = True

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def device(self) -> torch.device:
        """Return where the model and the inputs are."""
        return self.network.model.device

    def load(self, wire: np.ndarray[Any, Any]) -> None:
        """Give the model these weights, (wire_size,), with the statistics of their batch norm."""
        self.network.model.reset(to_device(torch.tensor(wire, dtype=torch.float32), self.device))

    def prepared(self, batches: Iterable[np.ndarray[Any, Any]]) -> Iterator[torch.Tensor]:
        """Yield what the model takes, for one batch of rows after the other."""
        return map(self.prepare, self.examples.each_inputs(map(torch.from_numpy, batches)))

    @torch.no_grad()
    def outputs(self, wire: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> torch.Tensor:
        """Return (rows, outputs) what the model says with these weights, in evaluation mode.

        Args:
            wire: (wire_size,) the weights, with the running statistics of their batch norm.
            rows: Which inputs.
        """
        self.load(wire)
        self.network.model.module.eval()
        starts = range(0, len(rows), ROWS_PER_BATCH)
        batches = self.prepared(rows[start : start + ROWS_PER_BATCH] for start in starts)
        return torch.cat([self.network.model.call(inputs) for inputs in batches])

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute inside the block as a client does: the same bits in every run."""
        with torch_threads(self.threads), deterministic(self.device, self.deterministic):
            yield
