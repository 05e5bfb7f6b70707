"""Distances, medians and means of many vectors on the server's device.

Robust aggregation compares n updates of d weights each: n²d operations for distances, n log n · d
for medians. Vectors are copied to the device piece by piece, so that any number of any size fits.
Pieces are cut by n alone, and each is computed in double precision and added up in order: the same
bits on one kind of device, whatever else it is doing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch

from fedlab.algorithm.vector_strategy import CPU, ServerContext, Vector
from fedlab.arrays import in_shared_memory
from fedlab.copying import has_double_precision, moved_ahead, to_host

PIECE_BYTES = 1 << 27
"""Of the vectors' values in double precision that are on the device at once."""


class OnServerDevice:
    """A part of a strategy that knows the server's device."""

    transient: ClassVar[frozenset[str]] = frozenset({"_device"})
    _device: torch.device = CPU

    def begin(self, context: ServerContext) -> None:
        """Take the device that the strategy computes on."""
        self._device = context.device


def is_used(device: torch.device) -> bool:
    """Return whether vectors are compared on a device: not on the CPU, nor without doubles."""
    return device.type != "cpu" and has_double_precision(device)


def squared_distances(points: Sequence[Vector], device: torch.device) -> Vector:
    """Return (n, n) float64: the squared Euclidean distances of n vectors, by their differences.

    Args:
        points: n vectors, (d,).
        device: Where they are compared.
    """
    count = len(points)
    total = torch.zeros(count, count, dtype=torch.float64, device=device)
    for piece in _pieces(points, device):
        for i in range(count - 1):
            total[i, i + 1 :] += (piece[i + 1 :] - piece[i]).square_().sum(1)
    return np.asarray(to_host(total + total.T).numpy())


def coordinate_median(points: Sequence[Vector], device: torch.device) -> Vector:
    """Return (d,) float64: the median of each coordinate of n vectors."""
    return _each(points, device, _median)


def trimmed_mean(points: Sequence[Vector], cut: int, device: torch.device) -> Vector:
    """Return (d,) float64: the mean of each coordinate without its extremes.

    Args:
        points: n vectors, (d,).
        cut: How many of the least and of the largest values are left out.
        device: Where they are compared.
    """
    return _each(
        points, device, lambda piece: piece.sort(0).values[cut : len(points) - cut].mean(0)
    )


def geometric_median(
    points: Sequence[Vector],
    centre: Vector,
    alphas: Vector,
    iterations: int,
    smoothing: float,
    device: torch.device,
) -> Vector:
    """Return the result of smoothed Weiszfeld steps, (d,) float64, relative to a centre.

    It is what :func:`strategies.rfa.geometric_median` computes of the differences to the centre.

    Args:
        points: n vectors, (d,).
        centre: (d,) what is subtracted from them.
        alphas: (n,) their weights.
        iterations: The number of steps.
        smoothing: Smaller distances count as this much.
        device: Where they are compared.
    """
    shares = torch.from_numpy(alphas).to(device)
    mean, of_mean = _step(points, centre, device, lambda piece: shares @ piece)
    median, of_median = _step(points, centre, device, _median)
    starts = [(mean, of_mean), (median, of_median)]
    reached, distances = min(starts, key=lambda start: float(alphas @ start[1]))
    for _ in range(iterations):
        betas = alphas / np.maximum(smoothing, distances)
        weights = torch.from_numpy(betas / betas.sum()).to(device)
        reached, distances = _step(points, centre, device, lambda piece, w=weights: w @ piece)  # type: ignore[misc]
    return reached


def _step(
    points: Sequence[Vector],
    centre: Vector,
    device: torch.device,
    combined: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[Vector, Vector]:
    """Return a combination of the vectors, (d,), and how far each vector is from it, (n,)."""
    squared = torch.zeros(len(points), dtype=torch.float64, device=device)
    parts = []
    for piece, own in zip(
        _pieces(points, device), _pieces([centre], device, len(points)), strict=True
    ):
        moved = piece - own
        part = combined(moved)
        squared += (moved - part).square_().sum(1)
        parts.append(to_host(part).numpy())
    return np.concatenate(parts), to_host(squared.sqrt()).numpy()


def _each(
    points: Sequence[Vector], device: torch.device, of: Callable[[torch.Tensor], torch.Tensor]
) -> Vector:
    return np.concatenate([to_host(of(piece)).numpy() for piece in _pieces(points, device)])


def _median(piece: torch.Tensor) -> torch.Tensor:
    """Return the median of each column of (n, d), of an even n the mean of the middle two."""
    ordered, half = piece.sort(0).values, len(piece) // 2
    return ordered[half] if len(piece) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _pieces(
    points: Sequence[Vector], device: torch.device, cut_for: int | None = None
) -> Iterator[torch.Tensor]:
    """Yield (n, width) float64: all vectors' values at so many coordinates after the other.

    Args:
        points: n vectors, (d,).
        device: Where they are wanted.
        cut_for: The number of vectors that decides the width; None: that of the points.
    """
    width = max(1, PIECE_BYTES // (8 * (cut_for or len(points))))
    stacked = (
        torch.stack([in_shared_memory(point[start : start + width]) for point in points])
        for start in range(0, len(points[0]), width)
    )
    for piece in moved_ahead(stacked, device):
        yield piece.double()
