"""Scores of classes against the classes that were right."""

from __future__ import annotations

import torch
from torch import Tensor


def counted(outputs: Tensor, targets: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """Return the scores and classes of all positions that count.

    Args:
        outputs: (N, K) or (N, T, K) scores before the softmax. A single score (K = 1) stands for
            class 1 against class 0.
        targets: (N,) or (N, T) classes.
        padding: The target that does not count.

    Returns:
        (M, K) float64 scores, two of them at least, and (M,) int64 classes; M may be 0.
    """
    scores = outputs.double().flatten(0, -2)
    flat = targets.flatten()
    kept = flat != padding
    scores, flat = scores[kept], flat[kept].long()
    if len(flat) and scores.shape[-1] == 1:
        scores = torch.cat([torch.zeros_like(scores), scores], dim=-1)
    return scores, flat
