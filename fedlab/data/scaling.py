"""Scaling of numbers by what the training part shows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedlab.data.dataset import Scaling


def standardise(
    parts: Sequence[torch.Tensor], columns: Sequence[str]
) -> tuple[list[torch.Tensor], Scaling]:
    """Return the parts as float32 with mean 0 and deviation 1 in the first, and the scaling.

    A column that is constant in the first part is not divided.

    Args:
        parts: (N, ..., F) numbers each, the training part first; NaN stands for what is missing
            and becomes the mean.
        columns: Names of the F columns.
    """
    flat = parts[0].reshape(-1, parts[0].shape[-1]).double()
    offset = flat.nanmean(0).nan_to_num(0.0)
    variance = (flat - offset).square().nanmean(0).nan_to_num(1.0)
    constant = is_constant(variance, offset, (~flat.isnan()).sum(0))
    scale = torch.where(constant, 1.0, variance.sqrt())
    scaled = [((part.double() - offset) / scale).nan_to_num(0.0).float() for part in parts]
    return scaled, Scaling(tuple(columns), tuple(offset.tolist()), tuple(scale.tolist()))


def scaled(values: torch.Tensor, scaling: Scaling | None) -> torch.Tensor:
    """Return raw numbers, (..., F), as :func:`standardise` stored those of the training part."""
    if scaling is None:
        return values.float()
    offset, scale = (
        torch.tensor(part, dtype=torch.float64) for part in (scaling.offset, scaling.scale)
    )
    return ((values.double() - offset) / scale).nan_to_num(0.0).float()


def is_constant(
    variance: torch.Tensor, mean: torch.Tensor, count: torch.Tensor | int
) -> torch.Tensor:
    """Return for each column whether all its numbers are one, but for rounding, (F,) bool.

    The variance of n equal numbers comes out as more than 0, by the rounding of their mean and of
    the sum of squares. The bound on that is scikit-learn's (``StandardScaler``): n ε variance +
    (n ε mean)², with ε of float64.

    Args:
        variance: (F,) of each column.
        mean: (F,) of each column.
        count: How many numbers each column has.
    """
    rounding = count * torch.finfo(torch.float64).eps
    return variance <= rounding * variance + (rounding * mean).square()
