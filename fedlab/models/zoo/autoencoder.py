"""Autoencoders."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.activation import ActivationName, make_activation
from fedlab.models.zoo.contract import ZooModel, flat_size
from fedlab.models.zoo.mlp import LayerSize, dense_layers
from fedlab.registry import models


@models.register("autoencoder")
class Autoencoder(ZooModel):
    """Autoencoder: fully connected layers down to a short code, and back up to the input.

    The decoder mirrors the encoder. The code itself is linear.

    Source: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks",
    Science 313 (2006).
    """

    kinds: ClassVar[tuple[str, ...]] = ("reconstruction",)

    class Settings(ModelSettings):
        """Settings of the autoencoder."""

        hidden: tuple[LayerSize, ...] = Field(
            (128,),
            description="sizes of the encoder's hidden layers; the decoder has them reversed",
        )
        code: LayerSize = Field(16, description="size of the code")
        activation: ActivationName = Field(
            "relu", description="activation function of the hidden layers"
        )
        output_activation: ActivationName = Field(
            "none", description="activation function of the outputs; 'sigmoid' suits pictures"
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        sizes = settings.hidden
        self.encoder = dense_layers(flat_size(task), sizes, settings.activation)
        self.code = nn.Linear(sizes[-1] if sizes else flat_size(task), settings.code)
        self.decoder = dense_layers(settings.code, sizes[::-1], settings.activation)
        self.head = nn.Linear(sizes[0] if sizes else settings.code, task.outputs)
        self.output_activation = make_activation(settings.output_activation)
        numbers = range(len(sizes))
        self.stages = (
            *(f"encoder.{number}" for number in numbers),
            "code",
            *(f"decoder.{number}" for number in numbers),
        )

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the codes, (N, code), of inputs (N, ...)."""
        code: torch.Tensor = self.code(self.encoder(inputs.flatten(1)))
        return code

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the codes of inputs (N, ...) stand for, (N, values)."""
        activations = self.head(self.dropout(self.decoder(self.encode(inputs))))
        outputs: torch.Tensor = self.output_activation(activations)
        return outputs
