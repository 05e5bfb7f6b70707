"""What a strategy that distils works with: the server's model, and inputs that anybody may see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fedlab.data.federation import Federation
from fedlab.data.transforms import Preparation, build_preparation
from fedlab.models.network import Network
from fedlab.scenario import Scenario
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

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute with a client's number of threads inside the block: the same bits everywhere."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def public_inputs(scenario: Scenario, federation: Federation, network: Network) -> PublicInputs:
    """Return the public inputs of a federation that has some."""
    assert federation.public is not None
    prepare = build_preparation(
        federation.dataset.task,
        channels=network.channels,
        mean=network.mean,
        std=network.std,
        image_size=getattr(scenario.model, "image_size", None),
    )
    threads = getattr(scenario.engine, "threads", 1)
    return PublicInputs(network, federation.public.inputs, prepare, threads)
