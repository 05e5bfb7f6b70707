"""Convolutional networks whose layers the scenario lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from fedlab.data.dataset import Modality, Task
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.activation import NEVER_FALLING, ActivationName, make_activation
from fedlab.models.zoo.contract import ZooModel
from fedlab.models.zoo.mlp import LayerSize, dense_layers
from fedlab.registry import models
from fedlab.settings import Settings as BaseSettings


class ConvolutionSettings(BaseSettings):
    """One entry of ``[[model.layers]]``: a convolution and what follows it."""

    channels: int = Field(ge=1, le=8192, description="number of filters")
    kernel_size: int = Field(3, ge=1, le=255, description="side of the square filters")
    stride: int = Field(1, ge=1, le=64, description="step of the filters")
    padding: int | Literal["same"] = Field(
        0,
        union_mode="left_to_right",
        description="zeros added on every side; 'same' keeps height and width",
    )
    dilation: int = Field(1, ge=1, le=64, description="spacing of a filter's taps")
    batch_norm: bool = Field(False, description="normalise the channels over the batch")
    group_norm: int = Field(
        0,
        ge=0,
        le=8192,
        description="normalise each picture's channels in so many groups, whatever else is in its "
        "batch (Wu and He 2018); 0: not",
    )
    activation: ActivationName = Field("relu", description="activation function")
    residual: bool = Field(
        False,
        description="add the layer's input before the activation, through a 1×1 convolution where "
        "the shape changes",
    )
    pooling: Literal["none", "max", "average", "sum"] = Field(
        "none", description="what a window of outputs is replaced by"
    )
    pooling_size: int = Field(2, ge=1, le=255, description="side of the pooling window")
    pooling_stride: int | None = Field(
        None, ge=1, le=255, description="step of the pooling window; left out: its side"
    )

    @model_validator(mode="after")
    def _same_needs_stride_one(self) -> Self:
        if self.padding == "same" and self.stride != 1:
            raise ValueError("padding = 'same' goes with stride = 1; give a number of zeros")
        if isinstance(self.padding, int) and not 0 <= self.padding <= 255:
            raise ValueError("padding must be 'same' or between 0 and 255")
        return self

    @model_validator(mode="after")
    def _one_norm(self) -> Self:
        if self.batch_norm and self.group_norm:
            raise ValueError("batch_norm and group_norm exclude each other; leave one out")
        return self


Shape = tuple[int, int, int]


class ConvolutionLayer(nn.Module):
    """Convolution, norm, residual sum, activation and pooling, each where asked for.

    y = pool(f(norm(W ∗ x + b) + shortcut(x))). The shortcut is the identity, or where channels or
    stride differ the projection of He et al., "Deep residual learning for image recognition", CVPR
    2016, eq. (2). The norm is over the batch (Ioffe and Szegedy, ICML 2015), before which the
    convolution has no bias, as it would be taken out again; or, picture by picture, over groups of
    channels (Wu and He, "Group normalization", ECCV 2018).

    Where pool is the maximum and f never falls, f is applied to what pool leaves: the same values
    and gradients, from a quarter of the numbers.
    """

    def __init__(self, settings: ConvolutionSettings, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            channels,
            settings.channels,
            settings.kernel_size,
            stride=settings.stride,
            padding=settings.padding,
            dilation=settings.dilation,
            bias=not settings.batch_norm,
        )
        self.norm = _norm(settings)
        self.shortcut = _shortcut(settings, channels) if settings.residual else None
        self.activation = make_activation(settings.activation)
        self.pooling = _pooling(settings)
        self._pools_first = settings.pooling == "max" and settings.activation in NEVER_FALLING

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (N, channels, H', W') for inputs (N, C, H, W)."""
        outputs = self.norm(self.convolution(inputs))
        if self.shortcut is not None:
            outputs = outputs + self.shortcut(inputs)
        first, second = self.activation, self.pooling
        if self._pools_first:
            first, second = second, first
        pooled: torch.Tensor = second(first(outputs))
        return pooled


def _norm(settings: ConvolutionSettings) -> nn.Module:
    if settings.batch_norm:
        return nn.BatchNorm2d(settings.channels)
    if settings.group_norm:
        return nn.GroupNorm(settings.group_norm, settings.channels)
    return nn.Identity()


def _shortcut(settings: ConvolutionSettings, channels: int) -> nn.Module:
    if settings.channels == channels and settings.stride == 1:
        return nn.Identity()
    return nn.Conv2d(channels, settings.channels, 1, stride=settings.stride, bias=False)


def _pooling(settings: ConvolutionSettings) -> nn.Module:
    size, stride = settings.pooling_size, settings.pooling_stride
    if settings.pooling == "max":
        return nn.MaxPool2d(size, stride)
    if settings.pooling == "average":
        return nn.AvgPool2d(size, stride)
    if settings.pooling == "sum":
        return nn.AvgPool2d(size, stride, divisor_override=1)
    return nn.Identity()


class ConvolutionalModel(ZooModel):
    """Convolutional layers, then fully connected ones, for pictures (N, C, H, W)."""

    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    can_be_stacked: ClassVar[bool] = True

    def __init__(
        self,
        settings: ModelSettings,
        task: Task,
        layers: Sequence[ConvolutionSettings],
        hidden: tuple[int, ...],
        hidden_activation: ActivationName = "relu",
    ) -> None:
        super().__init__(settings, task)
        shape = _picture_shape(task)
        blocks: list[nn.Module] = []
        for number, layer in enumerate(layers):
            entering = shape[0]
            shape = _output_shape(layer, shape, self._where(settings.name, number))
            blocks.append(ConvolutionLayer(layer, entering))
        self.layers = nn.Sequential(*blocks)
        features = math.prod(shape)
        self.hidden = dense_layers(features, hidden, hidden_activation)
        self.head = nn.Linear(hidden[-1] if hidden else features, task.outputs)
        self.stages = (
            *(f"layers.{number}" for number in range(len(layers))),
            *(f"hidden.{number}" for number in range(len(hidden))),
        )

    @staticmethod
    def _where(name: str, number: int) -> str:
        return f"model.name: convolution {number + 1} of '{name}'"

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (N, outputs), of pictures (N, C, H, W)."""
        features = self.hidden(self.layers(inputs).flatten(1))
        outputs: torch.Tensor = self.head(self.dropout(features))
        return outputs


@models.register("cnn")
class Cnn(ConvolutionalModel):
    """Convolutional network whose layers are the scenario's ``[[model.layers]]`` tables."""

    class Settings(ModelSettings):
        """Settings of the convolutional network."""

        layers: tuple[ConvolutionSettings, ...] = Field(
            (
                ConvolutionSettings(channels=16, padding="same", pooling="max"),
                ConvolutionSettings(channels=32, padding="same", pooling="max"),
            ),
            min_length=1,
            description="the convolutional layers, from input to output",
        )
        hidden: tuple[LayerSize, ...] = Field(
            (64,), description="sizes of the fully connected layers that follow"
        )
        hidden_activation: ActivationName = Field(
            "relu", description="activation function of the fully connected layers"
        )

        @property
        def sizes(self) -> tuple[int, ...]:
            """Return the channels of the convolutions, then the sizes of the dense layers."""
            return (*(layer.channels for layer in self.layers), *self.hidden)

        def with_sizes(self, sizes: Sequence[int]) -> ModelSettings:
            """Return the settings with other channels and dense layers."""
            count = len(self.layers)
            layers = tuple(
                layer.model_copy(update={"channels": size})
                for layer, size in zip(self.layers, sizes[:count], strict=True)
            )
            changes = {"layers": layers, "hidden": tuple(sizes[count:]), "pretrained": False}
            return self.model_copy(update=changes)

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(
            settings, task, settings.layers, settings.hidden, settings.hidden_activation
        )

    @staticmethod
    def _where(name: str, number: int) -> str:
        return f"model.layers.{number}"


class FixedSettings(ModelSettings):
    """Keys of a convolutional network whose layers a paper fixes; other sizes make it a "cnn"."""

    convolutions: ClassVar[tuple[ConvolutionSettings, ...]]
    dense: ClassVar[tuple[int, ...]]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the channels of the convolutions, then the sizes of the dense layers."""
        return (*(layer.channels for layer in self.convolutions), *self.dense)

    def with_sizes(self, sizes: Sequence[int]) -> ModelSettings:
        """Return the settings of a "cnn" with the same layers of other sizes."""
        own = {name: getattr(self, name) for name in ModelSettings.model_fields if name != "name"}
        free = Cnn.Settings(name="cnn", layers=self.convolutions, hidden=self.dense, **own)
        return free.with_sizes(sizes)


def _picture_shape(task: Task) -> Shape:
    channels, height, width = task.input_shape
    return channels, height, width


def _output_shape(layer: ConvolutionSettings, shape: Shape, where: str) -> Shape:
    """Return the shape after a layer.

    Raises:
        FedlabError: If its channels do not fall into equal groups, a window is larger than what it
            slides over, or a residual sum would add two different sizes.
    """
    if layer.group_norm and layer.channels % layer.group_norm:
        raise FedlabError(
            f"{where}: its {layer.channels} channels do not fall into group_norm = "
            f"{layer.group_norm} equal groups; take a divisor of the channels, 1 for one group"
        )
    sides = shape[1:]
    span = layer.dilation * (layer.kernel_size - 1) + 1
    padding = layer.padding
    convolved = sides if padding == "same" else _slide(sides, span, layer.stride, padding)
    if min(convolved) < 1:
        raise FedlabError(
            f"{where}: its kernel_size {layer.kernel_size} at dilation {layer.dilation} spans "
            f"{span} pixels, and only {_by(sides)} enter; take larger pictures, fewer layers or "
            "more padding"
        )
    if layer.residual and convolved != _slide(sides, 1, layer.stride, 0):
        raise FedlabError(
            f"{where}: residual adds the input of {_by(sides)} to an output of {_by(convolved)}; "
            f"an odd kernel_size with padding = {span // 2} makes them fit"
        )
    if layer.pooling == "none":
        return layer.channels, *convolved
    pooled = _slide(convolved, layer.pooling_size, layer.pooling_stride or layer.pooling_size, 0)
    if min(pooled) < 1:
        raise FedlabError(
            f"{where}: its pooling_size {layer.pooling_size} is larger than the {_by(convolved)} "
            "that the convolution leaves; take larger pictures, fewer layers or a smaller window"
        )
    return layer.channels, *pooled


def _slide(sides: tuple[int, int], window: int, stride: int, padding: int) -> tuple[int, int]:
    height, width = ((side + 2 * padding - window) // stride + 1 for side in sides)
    return height, width


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}×{sides[1]}"
