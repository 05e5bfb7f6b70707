"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.activation import ActivationName, make_activation
from fedlab.models.zoo.contract import ZooModel, flat_size
from fedlab.registry import models

LayerSize = Annotated[int, Field(ge=1, le=65536)]
InitName = Literal["default", "xavier", "he", "uniform"]


def dense_layers(
    inputs: int, sizes: tuple[int, ...], activation: ActivationName, batch_norm: bool = False
) -> nn.Sequential:
    """Return fully connected layers, each a stage of its own: linear, batch norm, activation."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((inputs, *sizes)):
        norm = [nn.BatchNorm1d(fan_out)] if batch_norm else []
        layers.append(nn.Sequential(nn.Linear(fan_in, fan_out), *norm, make_activation(activation)))
    return nn.Sequential(*layers)


@models.register("mlp")
class Mlp(ZooModel):
    """Multi-layer perceptron: fully connected layers on the flattened inputs.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    Nature 323 (1986).
    """

    can_be_stacked: ClassVar[bool] = True

    class Settings(ModelSettings):
        """Settings of the multi-layer perceptron."""

        hidden: tuple[LayerSize, ...] = Field((128,), description="sizes of the hidden layers")
        activation: ActivationName = Field(
            "relu", description="activation function of the hidden layers"
        )
        output_activation: ActivationName = Field(
            "none",
            description="activation function of the outputs; 'sigmoid' goes with the sum of "
            "squares, while cross-entropy has its own",
        )
        batch_norm_layers: bool = Field(
            False, description="normalise every hidden layer over the batch"
        )
        init: InitName = Field(
            "default",
            description="initial weights: 'default' as PyTorch draws them, 'xavier' (Glorot and "
            "Bengio 2010), 'he' (He et al. 2015), or 'uniform' within init_range",
        )
        init_range: float = Field(
            0.5, ge=0, le=10, description="half the width of init = 'uniform'"
        )

        @property
        def sizes(self) -> tuple[int, ...]:
            """Return the sizes of the hidden layers."""
            return self.hidden

        def with_sizes(self, sizes: Sequence[int]) -> ModelSettings:
            """Return the settings with other hidden layers."""
            return self.model_copy(update={"hidden": tuple(sizes), "pretrained": False})

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        size = flat_size(task)
        self.hidden = dense_layers(
            size, settings.hidden, settings.activation, settings.batch_norm_layers
        )
        self.head = nn.Linear(settings.hidden[-1] if settings.hidden else size, task.outputs)
        self.output_activation = make_activation(settings.output_activation)
        self.stages = tuple(f"hidden.{number}" for number in range(len(settings.hidden)))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _initialise(module, settings.init, settings.init_range)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (N, outputs), of inputs (N, ...)."""
        activations = self.head(self.dropout(self.hidden(inputs.flatten(1))))
        outputs: torch.Tensor = self.output_activation(activations)
        return outputs


def _initialise(layer: nn.Linear, init: InitName, init_range: float) -> None:
    if init == "default":
        return
    if init == "uniform":
        # The bias is the weight of a constant input, as in the perceptron.
        nn.init.uniform_(layer.weight, -init_range, init_range)
        nn.init.uniform_(layer.bias, -init_range, init_range)
        return
    if init == "xavier":
        nn.init.xavier_uniform_(layer.weight)
    else:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
