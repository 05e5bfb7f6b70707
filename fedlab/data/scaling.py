"""Scaling of numbers by what the training part shows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedlab.data.dataset import Scaling


def standardise(
    parts: Sequence[torch.Tensor], columns: Sequence[str]
) -> tuple[list[torch.Tensor], Scaling]:
    """Return the parts as float32 with mean 0 and deviation 1 in the first, and the scaling.

    Args:
        parts: (N, ..., F) numbers each, the training part first; NaN stands for what is missing
            and becomes the mean.
        columns: Names of the F columns.
    """
    flat = parts[0].reshape(-1, parts[0].shape[-1]).double()
    offset = flat.nanmean(0).nan_to_num(0.0)
    scale = (flat - offset).square().nanmean(0).sqrt().nan_to_num(1.0)
    scale[scale == 0] = 1.0
    scaled = [((part.double() - offset) / scale).nan_to_num(0.0).float() for part in parts]
    return scaled, Scaling(tuple(columns), tuple(offset.tolist()), tuple(scale.tolist()))
