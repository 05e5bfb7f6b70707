"""Local optimisers and learning-rate schedules.

An optimiser is a small class in ``fedlab/training/optimizers``, or anywhere by ``module:Class``.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from fedlab.errors import FedlabError
from fedlab.registry import optimizers
from fedlab.settings import Settings
from fedlab.training.names import NameIn

Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSettings(Settings):
    """Keys of ``[client.optimizer]``. An optimiser with further keys extends this class."""

    name: Annotated[str, NameIn(optimizers, ("sgd",))] = Field(
        "sgd", description="torch's optimiser of that name, or `module:Class`"
    )
    lr: float = Field(
        0.05, ge=0, description="learning rate; of adam, adamw and rmsprop 0.001 by default"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="sgd and rmsprop")
    nesterov: bool = Field(False, description="sgd: Nesterov's momentum")
    betas: tuple[Beta, Beta] = Field((0.9, 0.999), description="adam and adamw")
    alpha: float = Field(0.99, ge=0, lt=1, description="rmsprop: smoothing constant")
    epsilon: float = Field(1e-8, gt=0, description="adam, adamw and rmsprop")
    weight_decay: float = Field(
        0.0, ge=0, description="decoupled: w ← w − lr · weight_decay · w beside the step"
    )
    decay_norms_and_biases: bool = Field(
        True,
        description="whether weight decay also shrinks biases, scales and shifts of normalisation, "
        "position embeddings and class tokens; usual recipes say false",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="layer-wise learning-rate decay d: the head learns at lr, the last stage at "
        "lr · d, the one before at lr · d², …, the first of n at lr · dⁿ; 0.65 to 0.9 is usual",
    )

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> OptimizerSettings:
        if self.nesterov and not (self.name == "sgd" and self.momentum > 0):
            raise ValueError("nesterov goes with name = 'sgd' and momentum above 0")
        return self


class LocalOptimizer(ABC):
    """What a scenario names as its optimiser. The docstring's first line says what it does.

    Args:
        settings: Keys of ``[client.optimizer]``; a class with keys of its own has them in a nested
            class ``Settings`` that extends :class:`OptimizerSettings`.
    """

    Settings: ClassVar[type[OptimizerSettings]] = OptimizerSettings
    is_elementwise: ClassVar[bool] = False
    """Whether each weight's step depends on its own gradients alone, so that the weights of many
    clients may stand in one tensor."""

    def __init__(self, settings: OptimizerSettings) -> None:
        self.settings = settings

    @abstractmethod
    def build(self, parameters: Sequence[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        """Return torch's optimiser of some parameters.

        Weight decay is not its business: the training loop takes it from the settings.

        Args:
            parameters: What it changes: all that a client trains, as one vector.
            lr: The learning rate of this round.
        """


class ScheduleSettings(Settings):
    """Keys of ``[client.schedule]``: how the learning rate changes."""

    name: Literal["constant", "step", "exponential", "cosine", "linear"] = Field(
        "constant", description="the course of the rate"
    )
    over: Literal["rounds", "steps", "run"] = Field(
        "rounds",
        description="'rounds': one rate a round; 'steps': anew over each client's local steps of a "
        "round; 'run': one course over the local steps of all rounds, as if a client took part in "
        "each of them: step s of S in round r of R is step (r − 1) · S + s of R · S",
    )
    warmup: float = Field(0.0, ge=0, lt=1, description="fraction of the time spent rising from 0")
    gamma: float = Field(0.1, gt=0, le=1, description="step, exponential: the factor")
    every: int = Field(10, ge=1, description="step: rounds or steps between two factors")
    floor: float = Field(0.0, ge=0, le=1, description="cosine, linear: the last rate's fraction")

    @property
    def changes_within_rounds(self) -> bool:
        """Whether the rate is another one from step to step."""
        return self.over != "rounds" and (self.name != "constant" or self.warmup > 0)

    def factor(self, position: int, total: int) -> float:
        """Return the learning rate's factor at ``position`` (0-based) of ``total``."""
        rising = self.warmup * total
        if position < rising:
            return (position + 1) / math.ceil(rising)
        if self.name == "step":
            return float(self.gamma ** (position // self.every))
        if self.name == "exponential":
            return float(self.gamma**position)
        progress = (position - rising) / max(total - rising, 1)
        if self.name == "cosine":
            return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))
        if self.name == "linear":
            return self.floor + (1 - self.floor) * (1 - progress)
        return 1.0


class PreconditionedDescent(torch.optim.Optimizer):
    """Plain descent, each element at a rate of its own: w ← w − lr · d ∘ ∇."""

    def __init__(
        self,
        parameters: Sequence[torch.nn.Parameter],
        lr: float,
        diagonals: Sequence[torch.Tensor],
    ) -> None:
        """Take a d for each parameter, which its shape can be broadcast to."""
        super().__init__(parameters, {"lr": lr})
        self._diagonals = list(diagonals)

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Take a step by the gradients that are there."""
        (group,) = self.param_groups
        for parameter, diagonal in zip(group["params"], self._diagonals, strict=True):
            if parameter.grad is not None:
                parameter.addcmul_(parameter.grad, diagonal, value=-group["lr"])


def build_optimizer(
    settings: OptimizerSettings,
    parameters: Sequence[torch.nn.Parameter],
    factor: float = 1.0,
    diagonals: Sequence[torch.Tensor] = (),
) -> torch.optim.Optimizer:
    """Return the torch optimiser of some parameters.

    Args:
        settings: Which, and its learning rate.
        parameters: What it changes.
        factor: What the learning rate is multiplied by.
        diagonals: A preconditioner for each parameter, if any; they go with plain sgd.
    """
    lr = settings.lr * factor
    if diagonals:
        return PreconditionedDescent(parameters, lr, diagonals)
    chosen: LocalOptimizer = optimizers.get(settings.name)(settings)
    return chosen.build(parameters, lr)


def adapted(found: type[Any]) -> type[Any]:
    """Return a third party's optimiser as one of ours.

    One of PyTorch's, such as ``torch.optim:Adagrad``, gets the learning rate and those keys of
    ``[client.optimizer]`` that are not at their defaults.

    Raises:
        FedlabError: If it is neither ours nor PyTorch's.
    """
    if issubclass(found, LocalOptimizer):
        return found
    name = f"{found.__module__}:{found.__qualname__}"
    if not issubclass(found, torch.optim.Optimizer):
        raise FedlabError(
            f"client.optimizer.name: '{name}' is neither a LocalOptimizer nor an optimiser of "
            "PyTorch's"
        )

    class Adapted(LocalOptimizer):
        __doc__ = found.__doc__

        def __init__(self, settings: OptimizerSettings) -> None:
            super().__init__(settings)
            self._arguments = _arguments(found, settings)

        def build(
            self, parameters: Sequence[torch.nn.Parameter], lr: float
        ) -> torch.optim.Optimizer:
            made: torch.optim.Optimizer = found(parameters, lr=lr, **self._arguments)
            return made

    Adapted.__name__ = Adapted.__qualname__ = found.__qualname__
    return Adapted


def _arguments(found: type[Any], settings: OptimizerSettings) -> dict[str, Any]:
    """Return the keys that were changed as arguments of a torch optimiser.

    Raises:
        FedlabError: If it does not take one of them.
    """
    arguments: dict[str, Any] = {}
    for key in ("momentum", "betas", "alpha", "epsilon"):
        value = getattr(settings, key)
        if value == OptimizerSettings.model_fields[key].default:
            continue
        argument = "eps" if key == "epsilon" else key
        if argument not in inspect.signature(found).parameters:
            raise FedlabError(
                f"client.optimizer.{key}: '{settings.name}' has no {argument}; leave it out"
            )
        arguments[argument] = value
    return arguments


def _spare_the_compiler() -> None:
    """Let optimisers be made without importing torch's compiler.

    torch marks the method as not to be compiled when it is first called, and imports the compiler
    for that: seconds and 80 MB in every worker. Nothing here is compiled. Where a later torch keeps
    the mark elsewhere, this does nothing.
    """
    method = getattr(torch.optim.Optimizer.add_param_group, "__wrapped__", None)
    if method is not None and not hasattr(method, "__dynamo_disable"):
        setattr(method, "__dynamo_disable", method)


_spare_the_compiler()


@torch.no_grad()
def decay(
    optimizer: torch.optim.Optimizer,
    strength: float,
    decayed: Sequence[Sequence[torch.Tensor]] | None = None,
) -> None:
    """Shrink the weights by lr · strength: decoupled weight decay (Loshchilov & Hutter 2019).

    Args:
        optimizer: Says the weights and their learning rates, by group.
        strength: The decay.
        decayed: The weights of each group that are shrunk; None for all of them.
    """
    for number, group in enumerate(optimizer.param_groups):
        for weights in group["params"] if decayed is None else decayed[number]:
            weights.mul_(1 - group["lr"] * strength)
