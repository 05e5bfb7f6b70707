"""The two picture models of the paper that introduced federated averaging.

Source: McMahan, Moore, Ramage, Hampson and Agüera y Arcas, "Communication-efficient learning of
deep networks from decentralized data", AISTATS 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.cnn import ConvolutionalModel, ConvolutionSettings, FixedSettings
from fedlab.models.zoo.contract import ZooModel, flat_size
from fedlab.models.zoo.mlp import Mlp, dense_layers
from fedlab.registry import models


@models.register("mcmahan-cnn")
class McMahanCnn(ConvolutionalModel):
    """CNN of McMahan et al. 2017: 5×5 convolutions of 32 and 64 channels, 512 dense units.

    Each convolution keeps height and width and is followed by ReLU and 2×2 max pooling. 1,663,370
    parameters on 28×28 grey pictures with 10 classes, the number that the paper states.
    """

    class Settings(FixedSettings):
        """Settings of the CNN of McMahan et al.; its layers are fixed."""

        convolutions: ClassVar[tuple[ConvolutionSettings, ...]] = tuple(
            ConvolutionSettings(channels=channels, kernel_size=5, padding="same", pooling="max")
            for channels in (32, 64)
        )
        dense: ClassVar[tuple[int, ...]] = (512,)

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task, settings.convolutions, settings.dense)


@models.register("mcmahan-2nn")
class McMahan2nn(ZooModel):
    """2NN of McMahan et al. 2017: two hidden layers of 200 ReLU units.

    199,210 parameters on 28×28 grey pictures with 10 classes, the number that the paper states.
    """

    can_be_stacked: ClassVar[bool] = True

    class Settings(ModelSettings):
        """Settings of the 2NN of McMahan et al.; its layers are fixed."""

        @property
        def sizes(self) -> tuple[int, ...]:
            """Return the sizes of the hidden layers."""
            return (200, 200)

        def with_sizes(self, sizes: Sequence[int]) -> ModelSettings:
            """Return the settings of an "mlp" with other hidden layers."""
            names = (name for name in ModelSettings.model_fields if name != "name")
            own = {name: getattr(self, name) for name in names}
            return Mlp.Settings(name="mlp", **own).with_sizes(sizes)

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        self.hidden = dense_layers(flat_size(task), (200, 200), "relu")
        self.head = nn.Linear(200, task.outputs)
        self.stages = ("hidden.0", "hidden.1")

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (N, outputs), of inputs (N, ...)."""
        outputs: torch.Tensor = self.head(self.dropout(self.hidden(inputs.flatten(1))))
        return outputs
