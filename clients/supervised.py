"""Supervised local training: the client of FedAvg (McMahan et al. 2017, Algorithm 1)."""

from __future__ import annotations

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.registry import clients


@clients.register("supervised")
class Supervised(ClientAlgorithm):
    """Mini-batch descent on the client's examples, FedAvg's client (McMahan et al. 2017)."""
