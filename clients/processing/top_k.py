"""Top-k sparsification with error feedback: the largest changes travel, the rest waits."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.error_feedback import ErrorFeedback, ErrorFeedbackSettings
from fedlab.algorithm.processing import Payload, ProcessorSettings, Received
from fedlab.registry import updates

INDICES, LENGTH = "indices", "length"


class TopKSettings(ErrorFeedbackSettings):
    """Keys of a table of ``[[updates]]`` with name = "top-k"."""

    fraction: float = Field(0.1, gt=0, le=1, description="k over the number of parameters")


@updates.register("top-k")
class TopK(ErrorFeedback):
    """Top-k: sends the k largest changes, and the rest later (Stich et al. 2018, NeurIPS).

    "Sparsified SGD with Memory", Algorithm 1, on a round's update Δ in the place of a step's
    gradient, with the client's memory m, at first 0, and top_k that keeps the k numbers of largest
    magnitude:

        g ← top_k(m + Δ)        m ← m + Δ − g        sends g

    Each number travels with its place, 8 bytes in the place of 4: k of a tenth saves 80 %. Without
    error feedback m stays 0, and what is left out is lost.
    """

    Settings: ClassVar[type[ProcessorSettings]] = TopKSettings

    def compress(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the k largest numbers in the order of their places, and the places (k,)."""
        count = math.ceil(self.settings.fraction * len(update))
        places = update.abs().topk(count, sorted=False).indices.sort().values
        along = {INDICES: places.int(), LENGTH: torch.tensor([len(update)])}
        return Payload(update[places], along)

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return a vector of zeros but for these numbers at their places."""
        update = torch.zeros(int(payload.along[LENGTH]))
        update[payload.along[INDICES].long()] = payload.values
        return update
