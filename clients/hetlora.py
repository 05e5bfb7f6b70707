"""HetLoRA's client: LoRA of a rank of its own (Cho et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.algorithm.low_rank import is_trained, travelling
from fedlab.algorithm.setup import Setup
from fedlab.models.network import Network
from fedlab.registry import clients
from fedlab.training.task import LocalTask, Update


class HetLoraSettings(ClientSettings):
    """Keys of ``[client]`` for HetLoRA and FLoRA."""

    name: str = "hetlora"
    ranks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 2, 4),
        min_length=1,
        description="the clients' ranks in turn: client i has the i-th of them, then from the "
        "first again; none may be above model.adapter.rank",
    )


@clients.register("hetlora")
class HetLora(ClientAlgorithm):
    """HetLoRA: a client trains as many rows of A and columns of B as it can (Cho et al. 2024).

    "Heterogeneous LoRA for Federated Fine-tuning of On-Device Foundation Models",
    EMNLP, section 3.2. From factors of the largest rank r client k of rank r_k takes

        A_k = A[:r_k]        B_k = B[:, :r_k]

    and trains these; the server gets them with zeros in the place of the others. Where both a row
    of A and the column of B are zero, so are their gradients, and they stay zero. All clients
    multiply products by the same α / r. The paper's clients may also lower their rank as they
    train, which these do not. The vectors that travel have the largest rank, and bytes are counted
    so.

    With strategy ``hetlora`` the server weighs factors by what they do, with ``flora`` it adds up
    products, which is exact.
    """

    Settings: ClassVar[type[ClientSettings]] = HetLoraSettings
    settings: HetLoraSettings

    def objections(self, setup: Setup) -> Iterator[str]:
        """Tell whether there are two factors that travel, of ranks as large as the clients'.

        Args:
            setup: All parts of the run.
        """
        yield from super().objections(setup)
        adapted, layout = setup.network.adapted, setup.network.model.layout
        if not is_trained(setup):
            return
        if adapted is None or not travelling(layout, adapted.products):
            yield (
                "client.name: 'hetlora' trains both factors of LoRA at a rank of each client's "
                "own, and this model has none that are trained and travel; add [model.adapter] "
                "with name = 'lora', and leave out freeze_a"
            )
            return
        most, largest = max(self.settings.ranks), getattr(setup.scenario.model.adapter, "rank", 0)
        if most > largest:
            yield (
                f"client.ranks: {most} is more than the {largest} of model.adapter.rank, which is "
                "the largest that travels; raise that, or lower this"
            )

    def train(self, task: LocalTask) -> Update:
        """Train factors of the client's own rank, from the first ones of those that travelled."""
        truncate(task.network, self.rank_of(task.client))
        origin = task.network.model.wire()
        update = super().train(task)
        update.origin = origin
        return update

    def rank_of(self, client: int) -> int:
        """Return a client's rank."""
        return self.settings.ranks[client % len(self.settings.ranks)]


@torch.no_grad()
def truncate(network: Network, rank: int) -> None:
    """Set to zero what a network's factors have beyond a rank, in place."""
    if network.adapted is None:
        return
    model = network.model
    views = model.layout.views(model.weights)
    for product in travelling(model.layout, network.adapted.products):
        views[product.a][rank:] = 0
        views[product.b][:, rank:] = 0
