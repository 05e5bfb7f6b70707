"""FedU: predictors are taken over only while networks differ little (Zhuang et al. 2021)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field

from clients.byol import Byol, ByolSettings
from clients.fedema import ONLINE, below_head
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask, Update


class FeduSettings(ByolSettings):
    """Keys of ``[client]`` for FedU."""

    name: str = "fedu"
    threshold: float = Field(
        0.002,
        ge=0,
        description="μ: a client keeps its own predictor where ‖W_g − W_k‖² / ‖W_k‖² of the "
        "encoder is not below it; clients.jsonl has that as 'divergence'",
    )


@clients.register("fedu")
class Fedu(Byol):
    """FedU: unsupervised visual learning from decentralised data (Zhuang et al. 2021, ICCV).

    BYOL, whose online encoder is what travels and is aggregated (section 3.3), and a predictor that
    is updated by how far encoders diverge (section 3.4, equation 4): the global predictor replaces
    the client's own where the distance of the global encoder from the one that the client last sent
    is below μ, and else the client's own stays. The paper's distance is the squared norm of the
    difference; here it is relative to the squared norm of the encoder. A good μ is one that some
    clients of a run are above, and some below.
    """

    Settings: ClassVar[type[ClientSettings]] = FeduSettings
    settings: FeduSettings

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        """Return what is sent, with the divergence that the predictor was chosen by."""
        sent = super().update(task, fitted)
        # 0 for a client that has not sent any network yet.
        sent.metrics["divergence"] = self._divergence(task)
        return replace(sent, state={**sent.state, ONLINE: sent.weights.clone()})

    def fit(self, task: LocalTask) -> Fit:
        """Keep the own predictor or take the global one, and descend."""
        if self._divergence(task) >= self.settings.threshold and ONLINE in task.state:
            self._keep_predictor(task, task.state[ONLINE])
        return super().fit(task)

    def _divergence(self, task: LocalTask) -> float:
        own = task.state.get(ONLINE)
        if own is None:
            return 0.0
        encoder = below_head(task)
        size = own[encoder].square().sum().clamp(min=1e-12)
        return float((task.wire - own)[encoder].square().sum() / size)

    @staticmethod
    def _keep_predictor(task: LocalTask, own: torch.Tensor) -> None:
        layout, weights = task.network.model.layout, task.network.model.weights
        for entry in layout.entries:
            if entry.name.startswith(f"{task.network.head}.predictor."):
                weights[entry.place()] = own[entry.place(layout.wire.start)]
