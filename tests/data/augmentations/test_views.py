"""The random changes that views are made by, against torchvision's and their definitions."""

from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional as pictures

from fedlab.data.augmentation import Change
from fedlab.data.dataset import Task
from fedlab.registry import augmentations

COLOUR = Task("classification", "image", (3, 12, 10), 2)
GREY = Task("classification", "image", (1, 12, 10), 2)
NONE = torch.arange(200)


def change(name: str, task: Task = COLOUR, **keys: Any) -> Change:
    found = augmentations.get(name)
    built: Change = found(found.Settings(name=name, **keys), task, "data.augmentation")
    return built


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 200, channels: int = 3) -> torch.Tensor:
    return torch.rand(count, channels, 12, 10, generator=generator(1))


@pytest.mark.parametrize("name", ["resized-crop", "colour-jitter", "blur"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_draws_from_its_generator_alone_and_keeps_shape_and_range(
    name: str, channels: int
) -> None:
    inputs = batch(channels=channels)
    asked = change(name, COLOUR if channels == 3 else GREY)
    first, targets = asked(inputs, NONE, generator())
    torch.manual_seed(99)
    again, _ = asked(inputs, NONE, generator())
    assert torch.equal(first, again)
    assert targets is NONE
    assert first.shape == inputs.shape
    assert first.min() >= -1e-6
    assert first.max() <= 1 + 1e-6
    assert not torch.equal(first, asked(inputs, NONE, generator(4))[0])
    assert (first != inputs).flatten(1).any(1).float().mean() > 0.3


def test_a_whole_part_is_the_picture() -> None:
    inputs = batch()
    found, _ = change("resized-crop", smallest=1.0, ratio=1.0)(inputs, NONE, generator())
    torch.testing.assert_close(found, inputs, atol=1e-5, rtol=0)


def test_a_part_is_cut_out_and_enlarged_as_torchvision_does() -> None:
    # A quarter of the area, as long as wide: where it is, its upper left corner says.
    ramp = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(10.0), indexing="ij"))
    inputs = torch.cat([ramp, ramp[:1]])[None].expand(50, -1, -1, -1) / 12
    asked = change("resized-crop", smallest=0.25, ratio=1.0)
    found, _ = asked(inputs, NONE[:50], generator())
    height = (found[:, 0, -1, 0] - found[:, 0, 0, 0]) * 12 / 11 * 12
    width = (found[:, 1, 0, -1] - found[:, 1, 0, 0]) * 12 / 9 * 10
    share = (height / 12) * (width / 10)
    assert share.min() > 0.2
    assert share.max() < 1.01
    assert found[:, 0].min() >= -1e-6
    assert 0.4 < share.mean() < 0.75


def test_blur_is_torchvisions_inside_the_border() -> None:
    inputs = torch.rand(4, 3, 24, 20, generator=generator(1))
    found, _ = change("blur", least=1.0, most=1.0, chance=1.0)(inputs, NONE[:4], generator())
    expected = pictures.gaussian_blur(inputs, [7, 7], [1.0, 1.0])
    torch.testing.assert_close(found[..., 3:-3, 3:-3], expected[..., 3:-3, 3:-3], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("key", "adjusted"),
    [
        ("brightness", pictures.adjust_brightness),
        ("saturation", pictures.adjust_saturation),
        ("contrast", pictures.adjust_contrast),
    ],
)
def test_colours_change_as_torchvisions(key: str, adjusted: Any) -> None:
    inputs = batch()
    keys = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "chance": 1.0, "grey": 0.0}
    found, _ = change("colour-jitter", **(keys | {key: 0.4}))(inputs, NONE, generator())
    drawn = torch.rand(200, 5, generator=generator())
    column = {"brightness": 1, "contrast": 2, "saturation": 3}[key]
    for n in (0, 17, 60):
        factor = float(1 + 0.4 * (2 * drawn[n, column] - 1))
        expected = adjusted(inputs[n], factor)
        torch.testing.assert_close(found[n], expected, atol=2e-3, rtol=0)


def test_a_share_of_the_pictures_becomes_grey() -> None:
    found, _ = change("colour-jitter", chance=0.0, grey=0.25)(batch(), NONE, generator())
    is_grey = (found[:, :1] - found).abs().flatten(1).max(1).values < 1e-6
    assert 0.15 < is_grey.float().mean() < 0.35
    torch.testing.assert_close(found[~is_grey], batch()[~is_grey])
