"""FedPer: the last layers stay on the client."""

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

    ``model.personal`` selects the personal layers: "head", or patterns for more than the last
    layer. A client keeps its W_Pj between rounds; one that never trained has the initial one.
    "accuracy" is that of (W_B, W_Pj), "global_accuracy" that of W_B with the initial head.
    """

    personal_part: ClassVar[PersonalPart] = "head"
