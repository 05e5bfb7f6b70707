"""The mean of the losses of many steps, without waiting for the device at each of them."""

from __future__ import annotations

import torch

MOST_PENDING = 1024


class MeanLoss:
    """The mean of steps' losses, weighed by their examples.

    A number that is read makes the CPU wait for all that a device has been given to do. So losses
    are noted as they are, and read many at a time; they are added up in double precision, in order.
    """

    def __init__(self) -> None:
        self._pending: list[torch.Tensor] = []
        self._counts: list[int] = []
        self._total, self._seen = 0.0, 0

    def add(self, loss: torch.Tensor, examples: int) -> None:
        """Note a step.

        Args:
            loss: The mean loss of its examples, a scalar.
            examples: How many they are.
        """
        self._pending.append(loss.detach())
        self._counts.append(examples)
        if len(self._pending) == MOST_PENDING:
            self._read()

    def value(self) -> float:
        """Return the mean over all steps' examples; 0 without any."""
        self._read()
        return self._total / max(self._seen, 1)

    def _read(self) -> None:
        if self._pending:
            losses = torch.stack(self._pending).tolist()
            for loss, count in zip(losses, self._counts, strict=True):
                self._total += loss * count
                self._seen += count
        self._pending, self._counts = [], []
