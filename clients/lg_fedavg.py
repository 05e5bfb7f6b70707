"""LG-FedAvg: the representation stays on its client, the head is shared."""

from __future__ import annotations

from typing import ClassVar

from fedlab.algorithm.client import ClientAlgorithm, PersonalPart
from fedlab.registry import clients


@clients.register("lg-fedavg")
class LgFedAvg(ClientAlgorithm):
    """LG-FedAvg: local representations under one averaged head (Liang et al. 2020).

    "Think Locally, Act Globally" (arXiv), Algorithm 1, supervised: client m trains its local
    representation ℓ_m and the global model g on top of it together, keeps ℓ_m and sends g; the
    server averages g by numbers of examples. The auxiliary losses of its section 3.1 are left out.

    ``model.personal`` selects the local layers: "body" is all but the head. "accuracy" is that of
    (ℓ_m, g); "global_accuracy" that of g on the initial representation, which a client that never
    trained would have (the paper uses an ensemble of trained clients instead).
    """

    personal_part: ClassVar[PersonalPart] = "body"
