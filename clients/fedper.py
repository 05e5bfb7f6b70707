"""FedPer: the last layers stay on their client."""

from __future__ import annotations

from typing import ClassVar

from fedlab.algorithm.client import ClientAlgorithm, PersonalPart
from fedlab.registry import clients


@clients.register("fedper")
class FedPer(ClientAlgorithm):
    """FedPer: base layers are averaged, the head stays with its client (Arivazhagan et al. 2019).

    "Federated Learning with Personalization Layers" (arXiv), Algorithms 1 and 2: client j trains
    base layers W_B and its own personalisation layers W_Pj together, (W_B, W_Pj) ← SGD(W_B, W_Pj),
    and sends W_B alone; the server averages W_B by numbers of examples.

    Which layers are personal is said by ``model.personal``: "head", or patterns for more than the
    last layer. A client keeps its W_Pj between rounds; one that never trained has the initial one.
    "accuracy" is that of (W_B, W_Pj), "global_accuracy" that of W_B under the initial head.
    """

    personal_part: ClassVar[PersonalPart] = "head"
