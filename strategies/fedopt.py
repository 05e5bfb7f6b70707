"""FedOpt: any torch optimiser on the server (Reddi et al. 2021, ICLR)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import ConfigDict, Field, model_validator

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    mean,
)
from fedlab.errors import unknown
from fedlab.registry import strategies
from fedlab.settings import Settings

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    name: member
    for name, member in vars(torch.optim).items()
    if inspect.isclass(member)
    and issubclass(member, torch.optim.Optimizer)
    and member is not torch.optim.Optimizer
}


class ServerOptimizerSettings(Settings):
    """Keys of ``[strategy.optimizer]``: the name, and any keyword argument of that class."""

    model_config = ConfigDict(extra="allow")

    name: str = Field("Adam", description="a class of torch.optim")
    lr: float = Field(
        0.003,
        gt=0,
        description="the server's learning rate; Adam moves every weight by about as much a round",
    )

    @model_validator(mode="after")
    def _takes_a_step(self) -> ServerOptimizerSettings:
        if self.name not in OPTIMIZERS:
            raise ValueError(unknown("torch optimiser", self.name, OPTIMIZERS))
        accepted = list(inspect.signature(OPTIMIZERS[self.name]).parameters)[1:]
        for key in self.model_extra or {}:
            if key not in accepted:
                raise ValueError(unknown(f"argument of torch.optim.{self.name}", key, accepted))
        parameter = torch.zeros(1, requires_grad=True)
        parameter.grad = torch.ones(1)
        try:
            self.build(parameter).step()
        except Exception as error:
            # Each class validates its arguments differently.
            reason = " ".join(str(error).split())
            raise ValueError(f"torch.optim.{self.name} cannot take a step: {reason}") from error
        return self

    def build(self, parameter: torch.Tensor) -> torch.optim.Optimizer:
        """Return the optimiser of one parameter."""
        given = {**(self.model_extra or {}), "lr": self.lr}
        return OPTIMIZERS[self.name]([parameter], **given)


class FedOptSettings(VectorStrategySettings):
    """Keys of ``[strategy]``."""

    # Created on demand: the check takes a step, which imports torch's compiler.
    optimizer: ServerOptimizerSettings = Field(default_factory=ServerOptimizerSettings)


@strategies.register("fedopt")
class FedOpt(VectorStrategy):
    """FedOpt: any torch optimiser on the server (Reddi et al. 2021, ICLR).

    Algorithm 1: the clients' negative mean change is the gradient of a server optimiser:

        x ← ServerOpt(x, x − mean of yᵢ)

    Adam, Adagrad and the like are torch's, with its bias correction and its ε; "fedadam", "fedyogi"
    and "fedadagrad" are Flower's, closer to the paper's Algorithm 2.

    Attributes:
        moments: The optimiser's state, by its own names.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedOptSettings
    traits = Traits(takes_mean=True)

    def __init__(self, settings: FedOptSettings) -> None:
        super().__init__(settings)
        self.moments: dict[str, Any] = {}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the weights after a step of the optimiser."""
        change = mean(replies) - weights.astype(np.float64)
        parameter = torch.tensor(weights, requires_grad=True)
        parameter.grad = torch.from_numpy(-change).float()
        optimizer = self.settings.optimizer.build(parameter)
        # An optimiser creates its state in its first step.
        if self.moments:
            optimizer.state[parameter] = {n: _to_torch(v) for n, v in self.moments.items()}
        optimizer.step()
        self.moments = {n: _to_numpy(v) for n, v in optimizer.state[parameter].items()}
        return np.asarray(parameter.detach().numpy())


def _to_torch(value: Any) -> Any:
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def _to_numpy(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value
