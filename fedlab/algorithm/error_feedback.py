"""Error feedback: what a lossy processor leaves out of an update is added to the next one."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.processing import Payload, ProcessorSettings, Received, UpdateProcessor

ERROR = "error"
"""What a client keeps: the sum of what was left out of its updates so far."""


class ErrorFeedbackSettings(ProcessorSettings):
    """Keys of a table of ``[[updates]]`` of a processor with error feedback."""

    error_feedback: bool = Field(
        True, description="whether what was left out is added to the client's next update"
    )


class ErrorFeedback(UpdateProcessor):
    """A processor whose error is fed back (Stich et al. 2018; Karimireddy et al. 2019).

    With Δ a client's update, C what :meth:`compress` makes of a vector and m the client's memory,
    at first 0,

        sends C(m + Δ)        m ← m + Δ − C(m + Δ)

    so that all that was sent and m add up to all updates. Without error feedback m stays 0, and
    what is left out is lost. Error feedback asks of C that it is a contraction,
    ‖C(x) − x‖² ≤ (1 − δ) ‖x‖²: the memory of one that is not grows without end.

    Sources: Stich, Cordonnier and Jaggi 2018, NeurIPS, "Sparsified SGD with Memory", Algorithm 1;
    Karimireddy et al. 2019, ICML, "Error Feedback Fixes SignSGD and other Gradient Compression
    Schemes", Algorithm 2; on a round's update in the place of a step's gradient.
    """

    Settings: ClassVar[type[ProcessorSettings]] = ErrorFeedbackSettings

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the compressed sum of update and memory, and the memory that it leaves."""
        if not self._feeds_back:
            return self.compress(update, received, generator)
        wanted = update + received.kept[ERROR] if ERROR in received.kept else update
        payload = self.compress(wanted, received, generator)
        arrives = self.decode(Payload(payload.values, payload.along), received)
        payload.kept = {**payload.kept, ERROR: wanted - arrives}
        return payload

    @abstractmethod
    def compress(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return what travels in the place of a vector.

        Args:
            update: (n,) float32, not to be changed.
            received: What the client was sent, and what this processor kept.
            generator: The source of randomness for this client, round and processor.
        """
        raise NotImplementedError

    @property
    def _feeds_back(self) -> bool:
        settings: Any = self.settings
        return bool(settings.error_feedback)
