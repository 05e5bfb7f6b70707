"""FedU: predictors are taken over only while networks differ little (Zhuang et al. 2021)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from clients.byol import Byol, ByolSettings
from clients.fedema import ONLINE, below_head
from fedlab.algorithm.client import ClientSettings
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask


class FeduSettings(ByolSettings):
    """Keys of ``[client]`` for FedU."""

    name: str = "fedu"
    threshold: float = Field(
        0.4,
        ge=0,
        description="μ: a client keeps its own predictor where ‖W_g − W_k‖² / ‖W_k‖² of the "
        "encoder is not below it",
    )


@clients.register("fedu")
class Fedu(Byol):
    """FedU: unsupervised visual learning from decentralised data (Zhuang et al. 2021, ICCV).

    BYOL, whose online encoder is what travels and is aggregated (section 3.3), and a predictor that
    is updated by how far encoders diverge (section 3.4, equation 4): the global predictor replaces
    the client's own where the distance of the global encoder from the one that the client last sent
    is below μ, and else the client's own stays. The paper's distance is the squared norm of the
    difference; here it is relative to the squared norm of the encoder, so that one μ serves
    networks of any size.
    """

    Settings: ClassVar[type[ClientSettings]] = FeduSettings
    settings: FeduSettings

    def fit(self, task: LocalTask) -> Fit:
        """Keep the own predictor or take the global one, descend, and keep the network reached."""
        self._choose_predictor(task)
        fitted = super().fit(task)
        task.state = {**task.state, ONLINE: task.network.model.wire()}
        return fitted

    def _choose_predictor(self, task: LocalTask) -> None:
        own = task.state.get(ONLINE)
        if own is None:
            return
        encoder = below_head(task)
        difference = (task.wire - own)[encoder].square().sum()
        if difference < self.settings.threshold * own[encoder].square().sum():
            return
        layout, weights = task.network.model.layout, task.network.model.weights
        for entry in layout.entries:
            if entry.name.startswith(f"{task.network.head}.predictor."):
                place = slice(entry.start - layout.wire.start, entry.stop - layout.wire.start)
                weights[entry.start : entry.stop] = own[place]
