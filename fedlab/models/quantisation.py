"""Numbers rounded to multiples of a step, as they are stored in few bits."""

from __future__ import annotations

import torch


def largest_level(bits: int) -> int:
    """Return the largest of the whole numbers −n…n that ``bits`` bits hold, alike on both sides."""
    return int(2 ** (bits - 1) - 1)


def levels(matrix: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the whole numbers nearest to a matrix's rows, and each row's step.

    Args:
        matrix: (rows, columns).
        bits: 2 to 8; a row's largest magnitude becomes the largest level.

    Returns:
        (rows, columns) whole numbers as floats, and (rows,) what they are multiplied by.
    """
    most = matrix.abs().amax(1)
    step = torch.where(most > 0, most, 1.0) / largest_level(bits)
    return (matrix / step.unsqueeze(1)).round(), step


def rounded(tensor: torch.Tensor, bits: int) -> torch.Tensor:
    """Return a tensor of two dimensions or more with each row's numbers rounded to its levels."""
    numbers, step = levels(tensor.reshape(len(tensor), -1), bits)
    return (numbers * step.unsqueeze(1)).reshape(tensor.shape)


def straight_through(values: torch.Tensor, quantised: torch.Tensor) -> torch.Tensor:
    """Return quantised values whose gradient is that of the values (Bengio et al. 2013)."""
    return values + (quantised - values).detach()


def rounded_activations(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Return activations rounded to 2^bits levels between their least and largest, 0 among them."""
    low, high = values.detach().amin().clamp(max=0), values.detach().amax().clamp(min=0)
    step = ((high - low) / (2**bits - 1)).clamp(min=1e-12)
    zero = (-low / step).round()
    numbers = (values.detach() / step + zero).round().clamp(0, 2**bits - 1)
    return straight_through(values, (numbers - zero) * step)


def is_matrix(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is one that is pruned and quantised: of two dimensions or more."""
    return tensor.is_floating_point() and tensor.ndim > 1 and tensor.numel() > 0
