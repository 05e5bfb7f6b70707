"""A block's weighted sum taken on the device on which its clients were trained.

It is the sum that :mod:`fedlab.wire.sums` takes, in double precision and in the same order, and it
has the same bits: a product of a float32 number and a number of examples is exact. One vector comes
back for a block, in place of one for each of its clients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fedlab.copying import to_host
from fedlab.wire.sums import Name, WeightedSum

PLAIN = (torch.float32, torch.float64)


class SumOnDevice(WeightedSum):
    """Σ nᵢ xᵢ whose arrays are tensors of one device, which computes in double precision."""

    arrays: dict[Name, Any]

    def collected(self) -> WeightedSum:
        """Return the sum in main memory; this one is not used afterwards."""
        whole = WeightedSum()
        whole.__dict__.update(self.__dict__)
        whole._types = {name: _numpy_type(kind) for name, kind in self._types.items()}
        whole.arrays = {name: to_host(tensor).numpy() for name, tensor in self.arrays.items()}
        return whole

    def _add_weighted(self, name: Name, array: Any, weight: float) -> None:
        """Add a tensor times a weight."""
        total: torch.Tensor = self.arrays[name]
        if array.dtype in PLAIN:
            total.add_(array, alpha=weight)
        else:
            total += array.double() * weight

    def _make_ready(self) -> None:
        """Hold sums of our own."""
        if self._is_one_client:
            weight = self.examples
            self.arrays = {
                name: tensor.to(torch.float64, copy=True).mul_(weight)
                for name, tensor in self.arrays.items()
            }
            self._is_one_client = False


def _numpy_type(kind: Any) -> np.dtype[Any]:
    """Return NumPy's type of the same numbers as torch's."""
    found: np.dtype[Any] = torch.empty(0, dtype=kind).numpy().dtype
    return found
