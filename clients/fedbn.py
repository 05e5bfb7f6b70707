"""FedBN: batch norm stays on its client."""

from __future__ import annotations

from typing import ClassVar

from fedlab.algorithm.client import ClientAlgorithm, PersonalPart
from fedlab.registry import clients


@clients.register("fedbn")
class FedBn(ClientAlgorithm):
    """FedBN: all layers but batch norm are averaged (Li et al. 2021, ICLR).

    "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", Algorithm 1:
    clients train whole models; the server averages every layer but batch norm, whose parameters and
    running statistics each client keeps. ``model.batch_norm = "local"`` implements this.

    "accuracy" is that with a client's own normalisation; "global_accuracy" that with the initial
    one.
    """

    personal_part: ClassVar[PersonalPart] = "batch-norm"
