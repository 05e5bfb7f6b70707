"""Scores of one model as what another learns (Hinton, Vinyals and Dean 2015)."""

from __future__ import annotations

import torch
from torch.nn import functional


def soft_divergence(
    teacher: torch.Tensor, outputs: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return T² KL(σ(teacher / T) ‖ σ(outputs / T)), the mean over examples.

    "Distilling the Knowledge in a Neural Network", section 2: with T² the gradient's size hardly
    depends on the temperature.

    Args:
        teacher: (B, classes) scores before the softmax.
        outputs: (B, classes) the same of the model that learns.
        temperature: T.
    """
    wanted = (teacher / temperature).log_softmax(1)
    found = (outputs / temperature).log_softmax(1)
    divergence = functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
    return temperature**2 * divergence
