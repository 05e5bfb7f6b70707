"""Scaling of numbers by what the training part shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from fedlab.data.dataset import Scaling

_ROWS = 1 << 14
"""That are worked on at a time, where each needs several numbers beside its own."""


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
    count = torch.zeros(flat.shape[1], dtype=torch.int64)
    for rows in _blocks(flat):
        count += (~rows.isnan()).sum(0)
    offset = (flat.nansum(0) / count).nan_to_num(0.0)
    # Windows of long series fill memory several times over: one copy in double precision is enough.
    is_own = flat.data_ptr() != parts[0].data_ptr()
    deviations = flat.sub_(offset) if is_own else flat - offset
    variance = (deviations.square_().nansum(0) / count).nan_to_num(1.0)
    del flat, deviations
    scale = torch.where(is_constant(variance, offset, count), 1.0, variance.sqrt())
    found = [_scaled(part, offset, scale) for part in parts]
    return found, Scaling(tuple(columns), tuple(offset.tolist()), tuple(scale.tolist()))


def _scaled(part: torch.Tensor, offset: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return (part - offset) / scale as float32, some rows in double precision at a time."""
    found = torch.empty(part.shape, dtype=torch.float32)
    for rows, into in zip(_blocks(part), _blocks(found), strict=True):
        into.copy_(rows.double().sub(offset).div_(scale).nan_to_num_(0.0))
    return found


def _blocks(values: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield some rows after the other, as views."""
    for start in range(0, len(values), _ROWS):
        yield values[start : start + _ROWS]


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
