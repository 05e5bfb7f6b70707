"""TENT: at test time batch norm is trained to be sure (Wang et al. 2021, ICLR)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.test_time import (
    AdaptingClient,
    batches_of,
    estimate_statistics,
    normalising_by_batch,
)
from fedlab.data.dataset import Examples
from fedlab.models.layout import FlatModel
from fedlab.models.network import Network
from fedlab.models.selection import BatchNorm
from fedlab.registry import clients

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation


class TentSettings(ClientSettings):
    """Keys of ``[client]``."""

    test_rate: float = Field(1e-3, gt=0, le=10, description="learning rate at test time, by Adam")
    test_epochs: int = Field(1, ge=1, le=1000, description="passes over the tested inputs")


@clients.register("tent")
class Tent(AdaptingClient):
    """TENT: scale and shift of batch norm minimise the entropy of predictions (Wang et al. 2021).

    "Tent: fully test-time adaptation by entropy minimization" (ICLR), section 3: of the network
    trained by labels, batch norm normalises by the tested inputs' own statistics, and its scale
    and shift alone descend the Shannon entropy −Σ_c p_c log p_c of the predictions, by Adam over
    batches of about 128. The tested inputs are predicted after these steps (the paper's offline
    variant), with statistics estimated over all of them as in AdaBN. No label is looked at.
    """

    Settings: ClassVar[type[ClientSettings]] = TentSettings
    settings: TentSettings

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence where there are no classes, or batch norm is not trained."""
        yield from super().objections(setup)
        if setup.task.kind != "classification" or setup.task.outputs < 2:
            yield "client.name: 'tent' minimises the entropy over classes; take data with classes"
        if not len(norm_entries(setup.network)):
            yield (
                "client.name: 'tent' trains the scale and shift of batch norm, and they are not "
                "among what is trained (model.trainable, model.batch_norm)"
            )

    def adapt_to_inputs(self, network: Network, examples: Examples, prepare: Preparation) -> None:
        """Descend the entropy of predictions, then estimate the statistics of batch norm."""
        model, chosen = network.model, norm_entries(network)
        held = nn.Parameter(model.parameter.detach()[chosen].clone())
        optimizer = torch.optim.Adam([held], lr=self.settings.test_rate)
        with normalising_by_batch(network):
            for _ in range(self.settings.test_epochs):
                for inputs in batches_of(examples, prepare):
                    held.grad = self._gradient(model, inputs)[chosen]
                    optimizer.step()
                    with torch.no_grad():
                        model.parameter[chosen] = held
        estimate_statistics(network, examples, prepare)

    def _gradient(self, model: FlatModel, inputs: torch.Tensor) -> torch.Tensor:
        """Return the gradient of a batch's mean entropy, (trained,)."""
        model.zero_gradient()
        with torch.enable_grad():
            entropy(model.call(inputs)).backward()  # type: ignore[no-untyped-call]
        return model.gradient


def entropy(outputs: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy of softmax over outputs (B, classes), a scalar."""
    return -(outputs.softmax(1) * outputs.log_softmax(1)).sum(1).mean()


def norm_entries(network: Network) -> torch.Tensor:
    """Return where scale and shift of batch norm stand among the trained parameters, (n,)."""
    model = network.model
    norms = {n for n, part in model.module.named_modules() if isinstance(part, BatchNorm)}
    start = model.layout.trained.start
    places = [
        torch.arange(entry.start - start, entry.stop - start, device=model.device)
        for entry, _ in model.trained
        if entry.name.rpartition(".")[0] in norms
    ]
    nowhere = torch.empty(0, dtype=torch.long, device=model.device)
    return torch.cat([nowhere, *places])
