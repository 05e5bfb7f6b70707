"""The LeNet-like CNN of the NIID-Bench benchmark."""

from __future__ import annotations

from typing import ClassVar

from fedlab.data.dataset import Task
from fedlab.models.zoo.cnn import ConvolutionalModel, ConvolutionSettings, FixedSettings
from fedlab.registry import models


@models.register("lenet")
class LeNet(ConvolutionalModel):
    """LeNet-like CNN of NIID-Bench: 5×5 convolutions of 6 and 16 channels, 120 and 84 dense units.

    Each convolution is unpadded and followed by ReLU and 2×2 max pooling. 62,006 parameters on
    32×32 colour pictures with 10 classes, 44,426 on 28×28 grey ones.

    Source: Li, Diao, Chen and He, "Federated learning on non-IID data silos: an experimental
    study", ICDE 2022, section 5; after LeCun et al., "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86 (1998).
    """

    class Settings(FixedSettings):
        """Settings of the LeNet-like CNN; its layers are fixed."""

        convolutions: ClassVar[tuple[ConvolutionSettings, ...]] = tuple(
            ConvolutionSettings(channels=channels, kernel_size=5, pooling="max")
            for channels in (6, 16)
        )
        dense: ClassVar[tuple[int, ...]] = (120, 84)

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task, settings.convolutions, settings.dense)
