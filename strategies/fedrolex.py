"""FedRolex's server: the clients' part of the model moves on from round to round (2022)."""

from __future__ import annotations

from typing import ClassVar

from fedlab.algorithm.vector_strategy import VectorStrategySettings
from fedlab.registry import strategies
from strategies.heterofl import HeteroFL, HeteroFlSettings


class FedRolexSettings(HeteroFlSettings):
    """Keys of ``[strategy]`` for FedRolex."""

    name: str = "fedrolex"


@strategies.register("fedrolex")
class FedRolex(HeteroFL):
    """FedRolex: sub-models of a window that rolls over all units (Alam et al. 2022, NeurIPS).

    "FedRolex: Model-Heterogeneous Federated Learning with Rolling Sub-Model Extraction", equations
    2 and 3. In round j, from 0, a client of width p has of each hidden layer's K units those with
    the numbers

        (j + i) mod K,    0 ≤ i < ⌈p K⌉

    so that after K rounds every unit was trained as often as any other, though no client may be
    wide enough for all of them. The mean is HeteroFL's, over those that have a weight, as are the
    clients (``client.name = "heterofl"``).
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedRolexSettings
    rolls: ClassVar[bool] = True

    def shift(self, server_round: int) -> int:
        """Return where the windows over units begin in a round."""
        return server_round - 1
