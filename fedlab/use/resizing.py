"""Resizing of pictures as a product with weights, as an exported graph does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from fedlab.data.transforms import Preparation

_SUPPORT = 2.0
"""Half the width of Pillow's bicubic filter, in pixels."""


def pillow_weights(
    positions: torch.Tensor, size: torch.Tensor, used: torch.Tensor, wanted: int
) -> torch.Tensor:
    """Return the weight of each pixel in each new one, (wanted, size) float32, along one axis.

    As Pillow computes them (``precompute_coeffs``): Keys' filter with a = -0.5, stretched where
    the picture shrinks.

    Args:
        positions: (size,) 0, 1, ...
        size: () pixels.
        used: () pixels of the centred part that is kept, with a fraction.
        wanted: New pixels.
    """
    scale = used / wanted
    stretch = scale.clamp(min=1)
    start = (size - used) * 0.5
    centres = start + (torch.arange(wanted, dtype=torch.float64) + 0.5) * scale
    reach = _SUPPORT * stretch
    first = (centres - reach + 0.5).floor().clamp(min=0)
    last = torch.minimum((centres + reach + 0.5).floor(), size)
    away = ((positions + 0.5 - centres.unsqueeze(1)) / stretch).abs()
    near = (1.5 * away - 2.5) * away * away + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    nothing = torch.zeros_like(away)
    weights = torch.where(away < 1, near, torch.where(away < 2, far, nothing))
    inside = (positions >= first.unsqueeze(1)) & (positions < last.unsqueeze(1))
    weights = torch.where(inside, weights, nothing)
    return (weights / weights.sum(1, keepdim=True)).float()


def resizing(
    prepare: Preparation, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the weights by which the preparation resizes rows and columns, or None if it does not.

    Resizing is linear and works along one axis after the other: what it does to unit vectors says
    everything.
    """
    side = prepare.image_size
    if side is None or (height, width) == (side, side):
        return None
    shrinks = side < max(height, width)

    def weights(size: int) -> torch.Tensor:
        units = torch.eye(size).view(1, 1, size, size)
        return nn.functional.interpolate(
            units, (side, size), mode="bicubic", antialias=shrinks, align_corners=False
        )[0, 0]

    return weights(height), weights(width)
