"""FjORD's client: each step trains a narrower part of its model (Horváth et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.models.narrow import Width
from fedlab.models.network import Network
from fedlab.models.selection import BatchNorm
from fedlab.registry import clients
from fedlab.training.task import LocalTask, Update


class FjordSettings(ClientSettings):
    """Keys of ``[client]`` for FjORD."""

    name: str = "fjord"
    widths: tuple[Width, ...] = Field(
        (0.2, 0.4, 0.6, 0.8, 1.0),
        min_length=1,
        description="how wide the clients' models are, in turn; each step trains one of these "
        "widths, up to the client's own",
    )


@clients.register("fjord")
class Fjord(ClientAlgorithm):
    """FjORD: ordered dropout, by a width drawn for each step (Horváth et al. 2021, NeurIPS).

    "FjORD: Fair and Accurate Federated Learning under heterogeneous targets with Ordered Dropout",
    section 3. A client whose model has width p_max draws p for each step, every width of the
    scenario's up to p_max alike, and descends the loss of the part of the model that has the first
    ⌈p K⌉ of each hidden layer's K units; weights outside it have no gradient. So the units come to
    be ordered by importance, and narrower clients get the important ones.

    Without the paper's self-distillation. Batch norm, of which the paper has one for each width,
    normalises by the batch; its running statistics are those of the client's whole width.
    """

    Settings: ClassVar[type[ClientSettings]] = FjordSettings
    settings: FjordSettings

    @property
    def widths(self) -> tuple[float, ...]:
        """Return the widths of the clients' models, in turn."""
        return self.settings.widths

    def train(self, task: LocalTask) -> Update:
        """Train parts of the client's own model, of a width drawn for each step."""
        own = self.settings.widths[task.client % len(self.settings.widths)]
        parts = sorted(width / own for width in set(self.settings.widths) if width <= own)
        with task.network.model.as_written(), ordered_dropout(task.network, parts, task.generator):
            return super().train(task)


@contextmanager
def ordered_dropout(
    network: Network, parts: Sequence[float], generator: torch.Generator
) -> Iterator[None]:
    """Leave units out of a network inside the block, in training, each time that it is called.

    Args:
        network: Whose convolutions and dense layers stand in the order of their calls.
        parts: Of a layer's units the first ⌈part · K⌉ stay; one of these is drawn for each call.
        generator: What draws it.
    """
    drawn = [1.0]
    norms = [(m, m.momentum) for m in network.model.module.modules() if isinstance(m, BatchNorm)]

    def draw(*_: Any) -> None:
        number = int(torch.randint(len(parts), (1,), generator=generator))
        drawn[0] = parts[number] if network.model.module.training else 1.0
        for norm, momentum in norms:
            norm.momentum = momentum if drawn[0] == 1 else 0.0

    def kept(units: int) -> Any:
        def cut(module: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            each = inputs[0].shape[1] // units
            # A width over another is no exact number: 0.6 / 1.0 · 5 is to be 3.
            stay = math.ceil(round(drawn[0] * units, 6)) * each
            mask = torch.arange(inputs[0].shape[1], device=inputs[0].device) < stay
            return (inputs[0] * mask.view(1, -1, *[1] * (inputs[0].ndim - 2)),)

        return cut

    def put_back() -> None:
        for norm, momentum in norms:
            norm.momentum = momentum

    with ExitStack() as hooks:
        hooks.callback(put_back)
        hooks.callback(network.model.body.register_forward_pre_hook(draw).remove)
        below = 0
        for _, module in network.model.module.named_modules():
            if not isinstance(module, nn.Linear | nn.Conv2d):
                continue
            entering = module.in_channels if isinstance(module, nn.Conv2d) else below
            if below:
                hooks.callback(module.register_forward_pre_hook(kept(entering)).remove)
            below = module.out_channels if isinstance(module, nn.Conv2d) else module.out_features
        yield
