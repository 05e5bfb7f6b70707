"""Loss scaling: what keeps small gradients from vanishing in 16-bit floating point.

Micikevicius et al. 2018, "Mixed Precision Training" (ICLR), section 3.2: the loss is multiplied by
a factor before the backward pass, and the gradient divided by it afterwards, in float32. The factor
is halved where a gradient overflows, and doubled after many steps without one; its numbers are
those of ``torch.amp.GradScaler``. There, a step whose gradient overflows is left out. Here it is
computed again: a client takes few steps, and algorithms such as FedNova and SCAFFOLD count on each.
"""

from __future__ import annotations

import torch

from fedlab.errors import FedlabError

FIRST = 2.0**16
LEAST = 2.0**-24
STEPS_TO_GROW = 2000


class LossScale:
    """The factor of one client's losses, from its first step of a round to its last.

    It begins anew with each client and round, so that results depend on no other client.

    Attributes:
        factor: The present factor, a power of 2, by which dividing is exact.
        repeated: How many gradients have been computed again.
    """

    def __init__(self) -> None:
        self.factor = FIRST
        self.repeated = 0
        self._steps = 0

    def accepts(self, gradient: torch.Tensor, loss: torch.Tensor) -> bool:
        """Divide a scaled gradient by the factor, in place; return whether it is finite.

        Where it is not, the factor is smaller now, and the gradient is to be computed again. This
        waits for the device.

        Args:
            gradient: The gradient of the loss times the factor.
            loss: The loss, a scalar.

        Raises:
            FedlabError: If no factor would help.
        """
        gradient.mul_(1 / self.factor)
        if bool(torch.isfinite(gradient).all()):
            self._steps += 1
            if self._steps == STEPS_TO_GROW:
                self.factor, self._steps = 2 * self.factor, 0
            return True
        if self.factor <= LEAST or not bool(torch.isfinite(loss)):
            raise FedlabError(
                "engine.precision: in 'fp16' a batch's loss or gradient is not finite: training "
                "diverges, or the network computes numbers above 65,504; 'bf16' holds those"
            )
        self.factor, self._steps = self.factor / 2, 0
        self.repeated += 1
        return False
