"""FjORD's server: the mean of each weight over the clients whose model has it (2021)."""

from __future__ import annotations

from typing import ClassVar

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import VectorStrategySettings
from fedlab.registry import strategies
from strategies.heterofl import HeteroFL


class FjordSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for FjORD."""

    name: str = "fjord"


@strategies.register("fjord")
class Fjord(HeteroFL):
    """FjORD: clients train ordered parts of one model (Horváth et al. 2021, NeurIPS).

    "FjORD: Fair and Accurate Federated Learning under heterogeneous targets with Ordered Dropout",
    Algorithm 1. Client k has the first ⌈p_k K⌉ of each layer's K units and trains smaller parts of
    these, too (``client.name = "fjord"``); each weight becomes the mean over those that have it,
    weighed by examples. So every narrower part of the server's model is a model of its own.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FjordSettings
    traits = Traits(client="fjord", several_models=True, sub_models=True, statistics="own")
