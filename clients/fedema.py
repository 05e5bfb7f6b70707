"""FedEMA: a client's network moves towards the global one, the less the more they differ."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from clients.byol import Byol, ByolSettings
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask

ONLINE, SCALE = "online", "scale"


class FedemaSettings(ByolSettings):
    """Keys of ``[client]`` for FedEMA."""

    name: str = "fedema"
    tau: float = Field(
        0.7, ge=0, le=1, description="τ: the share of its own weights that a client keeps at first"
    )


@clients.register("fedema")
class Fedema(Byol):
    """FedEMA: divergence-aware federated self-supervised learning (Zhuang et al. 2022, ICLR).

    BYOL, whose online network and predictor are not replaced by the global ones but moved to them
    (equations 2 to 5): W ← μ W_k + (1 − μ) W_g with μ = min(λ ‖W_g − W_k‖, 1) of the encoder's
    weights, W_k being what the client last sent. λ = τ / ‖W_g − W_k‖ is set when a client takes
    part for the second time, so that μ is τ then. Norms are over all parameters that travel below
    the projection; μ serves the predictor, too.
    """

    Settings: ClassVar[type[ClientSettings]] = FedemaSettings
    settings: FedemaSettings

    def fit(self, task: LocalTask) -> Fit:
        """Move to the global network, descend, and keep the network reached."""
        self._move(task)
        fitted = super().fit(task)
        task.state = {**task.state, ONLINE: task.network.model.wire()}
        return fitted

    def _move(self, task: LocalTask) -> None:
        own = task.state.get(ONLINE)
        if own is None:
            return
        distance = torch.linalg.vector_norm((task.wire - own)[below_head(task)])
        scale = task.state.get(SCALE)
        if scale is None:
            scale = (self.settings.tau / distance.clamp(min=1e-12)).view(1)
            task.state = {**task.state, SCALE: scale}
        share = (scale * distance).clamp(max=1.0)
        model = task.network.model
        model.weights[model.layout.wire] = share * own + (1 - share) * task.wire


def below_head(task: LocalTask) -> torch.Tensor:
    """Return which of the weights that travel are parameters below the head, (wire_size,) bool."""
    layout = task.network.model.layout
    mask = torch.zeros(layout.wire_size, dtype=torch.bool, device=task.wire.device)
    for entry in layout.shared_entries:
        if not entry.name.startswith(task.network.head):
            mask[entry.place(layout.wire.start)] = True
    return mask
