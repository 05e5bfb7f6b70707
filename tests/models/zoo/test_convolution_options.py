"""Every option of a convolutional layer, against the textbook sums in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.zoo.activation import ActivationName
from fedlab.models.zoo.cnn import Cnn, ConvolutionLayer, ConvolutionSettings

Array = npt.NDArray[np.float64]


def convolve(
    pictures: Array,
    filters: Array,
    bias: Array | None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> Array:
    """y[n, o, i, j] = b[o] + Σ_c,u,v w[o, c, u, v] x[n, c, s i + d u − p, s j + d v − p]."""
    count, channels, height, width = pictures.shape
    outputs, _, side, _ = filters.shape
    padded = np.zeros((count, channels, height + 2 * padding, width + 2 * padding))
    padded[:, :, padding : padding + height, padding : padding + width] = pictures
    span = dilation * (side - 1) + 1
    rows = (padded.shape[2] - span) // stride + 1
    columns = (padded.shape[3] - span) // stride + 1
    result = np.zeros((count, outputs, rows, columns))
    for i in range(rows):
        for j in range(columns):
            for u in range(side):
                for v in range(side):
                    pixel = padded[:, :, stride * i + dilation * u, stride * j + dilation * v]
                    result[:, :, i, j] += pixel @ filters[:, :, u, v].T
    return result if bias is None else result + bias[None, :, None, None]


def pool(maps: Array, size: int, stride: int, reduce: Callable[..., Array]) -> Array:
    rows = (maps.shape[2] - size) // stride + 1
    columns = (maps.shape[3] - size) // stride + 1
    result = np.zeros((*maps.shape[:2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            window = maps[:, :, top : top + size, left : left + size]
            result[:, :, i, j] = reduce(window, axis=(2, 3))
    return result


def numbers(tensor: torch.Tensor) -> Array:
    return tensor.detach().numpy().astype(np.float64)


def pictures(channels: int = 3, side: int = 9) -> torch.Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(5))


def layer(channels: int = 3, **options: object) -> ConvolutionLayer:
    torch.manual_seed(2)
    settings = ConvolutionSettings.model_validate({"channels": 4, "activation": "none", **options})
    return ConvolutionLayer(settings, channels)


def plain(made: ConvolutionLayer, inputs: torch.Tensor, **options: int) -> Array:
    """Return the convolution alone, in NumPy."""
    bias = made.convolution.bias
    return convolve(
        numbers(inputs),
        numbers(made.convolution.weight),
        None if bias is None else numbers(bias),
        **options,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 3},
        {"kernel_size": 4},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "stride": 3, "padding": 1},
        {"kernel_size": 5, "padding": 2},
        {"kernel_size": 3, "dilation": 3},
        {"kernel_size": 3, "dilation": 2, "padding": 2, "stride": 2},
    ],
)
def test_kernel_stride_padding_and_dilation_follow_the_sum(options: dict[str, int]) -> None:
    made, inputs = layer(**options), pictures()
    kernel_free = {key: value for key, value in options.items() if key != "kernel_size"}
    wanted = plain(made, inputs, **kernel_free)
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-5)


def test_same_padding_keeps_height_and_width_and_pads_with_zeros() -> None:
    made, inputs = layer(kernel_size=5, padding="same"), pictures()
    wanted = plain(made, inputs, padding=2)
    assert made(inputs).shape == (2, 4, 9, 9)
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-5)


def test_same_padding_with_a_stride_is_refused() -> None:
    with pytest.raises(ValidationError, match="padding = 'same' goes with stride = 1"):
        ConvolutionSettings(channels=4, padding="same", stride=2)


@pytest.mark.parametrize(
    ("name", "reduce"), [("max", np.max), ("average", np.mean), ("sum", np.sum)]
)
@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (2, 3)])
def test_pooling_reduces_each_window(
    name: str, reduce: Callable[..., Array], size: int, stride: int | None
) -> None:
    made = layer(pooling=name, pooling_size=size, pooling_stride=stride)
    inputs = pictures()
    wanted = pool(plain(made, inputs), size, stride or size, reduce)
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", lambda x: np.maximum(x, 0)),
        ("tanh", np.tanh),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_activation_comes_before_pooling(name: str, function: Callable[[Array], Array]) -> None:
    made, inputs = layer(activation=name, pooling="sum"), pictures()
    wanted = pool(function(plain(made, inputs)), 2, 2, np.sum)
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sigmoid", "none"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_result_is_that_of_activation_then_pooling(
    activation: ActivationName, pooling: Literal["max", "average"]
) -> None:
    torch.manual_seed(0)
    settings = ConvolutionSettings(
        channels=3, activation=activation, pooling=pooling, residual=True, padding="same"
    )
    layer = ConvolutionLayer(settings, 2)
    pictures = torch.randn(4, 2, 6, 6)
    weights = torch.randn(4, 3, 3, 3)
    assert layer.shortcut is not None
    sums = layer.convolution(pictures) + layer.shortcut(pictures)
    expected = layer.pooling(layer.activation(sums))
    found = layer(pictures)
    assert torch.equal(found, expected)
    parameters = list(layer.parameters())
    for own, other in zip(
        torch.autograd.grad((found * weights).sum(), parameters),
        torch.autograd.grad((expected * weights).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(own, other)


def test_batch_norm_in_training_moves_its_statistics() -> None:
    made, inputs = layer(batch_norm=True).train(), pictures()
    maps = plain(made, inputs)
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3))
    wanted = (maps - mean[:, None, None]) / np.sqrt(variance[:, None, None] + 1e-5)
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-4)
    unbiased = maps.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(numbers(made.norm.running_mean), 0.1 * mean, atol=1e-5)
    np.testing.assert_allclose(numbers(made.norm.running_var), 0.9 + 0.1 * unbiased, atol=1e-5)


def test_batch_norm_in_evaluation_uses_its_running_statistics() -> None:
    made, inputs = layer(batch_norm=True).eval(), pictures()
    maps = plain(made, inputs)
    mean, variance = np.array([0.1, -0.2, 0.3, 0.0]), np.array([1.5, 0.5, 2.0, 1.0])
    scale, shift = np.array([2.0, -1.0, 0.5, 1.0]), np.array([0.0, 1.0, -1.0, 0.5])
    for tensor, values in (
        (made.norm.running_mean, mean),
        (made.norm.running_var, variance),
        (made.norm.weight.data, scale),
        (made.norm.bias.data, shift),
    ):
        tensor.copy_(torch.as_tensor(values))
    normal = (maps - mean[:, None, None]) / np.sqrt(variance[:, None, None] + 1e-5)
    wanted = scale[:, None, None] * normal + shift[:, None, None]
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-5)
    np.testing.assert_allclose(numbers(made.norm.running_mean), mean, atol=1e-7)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_normalises_each_picture_alone_over_groups_of_channels(groups: int) -> None:
    made, inputs = layer(group_norm=groups).train(), pictures()
    scale, shift = np.array([2.0, -1.0, 0.5, 1.0]), np.array([0.0, 1.0, -1.0, 0.5])
    made.norm.weight.data.copy_(torch.as_tensor(scale))
    made.norm.bias.data.copy_(torch.as_tensor(shift))
    maps = plain(made, inputs)
    grouped = maps.reshape(2, groups, -1)
    mean, variance = grouped.mean(2, keepdims=True), grouped.var(2, keepdims=True)
    normal = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(maps.shape)
    wanted = scale[:, None, None] * normal + shift[:, None, None]
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-4)
    np.testing.assert_allclose(numbers(made(inputs[:1])), wanted[:1], atol=1e-4)


def test_two_norms_of_one_layer_are_refused() -> None:
    with pytest.raises(ValidationError, match="batch_norm and group_norm exclude each other"):
        ConvolutionSettings(channels=4, batch_norm=True, group_norm=2)


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    settings = Cnn.Settings.model_validate(
        {"name": "cnn", "layers": [{"channels": 6, "group_norm": 3}]}
    )
    task = Task("classification", "image", (1, 8, 8), 5)
    assert Cnn(settings, task).layers[0].norm.num_groups == 3
    with pytest.raises(FedlabError, match=r"layers.0: its 4 channels do not fall into group_norm"):
        Cnn(settings.with_sizes([4, 64]), task)


def test_residual_adds_the_input_before_the_activation() -> None:
    made = layer(channels=4, padding=1, residual=True, activation="relu")
    inputs = pictures(channels=4)
    wanted = np.maximum(plain(made, inputs, padding=1) + numbers(inputs), 0)
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-5)


def test_residual_projects_the_input_where_shapes_change() -> None:
    made, inputs = layer(channels=3, padding=1, stride=2, residual=True), pictures()
    assert isinstance(made.shortcut, torch.nn.Conv2d)
    projected = convolve(numbers(inputs), numbers(made.shortcut.weight), None, stride=2)
    wanted = plain(made, inputs, padding=1, stride=2) + projected
    np.testing.assert_allclose(numbers(made(inputs)), wanted, atol=1e-5)


def test_layers_end_in_dense_layers_and_a_head() -> None:
    settings = Cnn.Settings.model_validate(
        {
            "name": "cnn",
            "layers": [
                {"channels": 4, "kernel_size": 5, "stride": 2, "padding": 1, "pooling": "sum"},
                {"channels": 6, "kernel_size": 2, "batch_norm": True, "residual": False},
            ],
            "hidden": [7],
        }
    )
    model = Cnn(settings, Task("classification", "image", (3, 20, 16), 5)).eval()
    inputs = torch.randn(2, 3, 20, 16)
    states = inputs
    for block in model.layers:
        states = block(states)
    dense = np.maximum(
        numbers(states.flatten(1)) @ numbers(model.hidden[0][0].weight).T
        + numbers(model.hidden[0][0].bias),
        0,
    )
    wanted = dense @ numbers(model.head.weight).T + numbers(model.head.bias)
    np.testing.assert_allclose(numbers(model(inputs)), wanted, atol=1e-5)
    assert model.stages == ("layers.0", "layers.1", "hidden.0")
