"""What the models of token sequences and series share: valid positions and pooling over them."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from fedlab.data.dataset import Modality, Task
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.contract import ZooModel

PoolingName = Literal["last", "mean", "max"]


class SequenceModel(ZooModel):
    """A model of tokens (N, T) or series (N, T, F).

    Its outputs are (N, T, K) where the task asks for one at every position, else (N, K).

    Attributes:
        every_position: Whether the task asks for an output at every position.
    """

    kinds: ClassVar[tuple[str, ...]] = (
        "classification",
        "next-token",
        "tagging",
        "regression",
    )
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "series")

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        if task.modality == "text" and task.vocabulary < 1:
            raise FedlabError(
                f"model.name: '{settings.name}' needs the size of the input vocabulary, and the "
                "data set's task states none"
            )
        self.every_position = task.kind == "tagging" or (
            task.kind == "next-token" and task.every_position
        )
        self._padding = task.input_padding if task.modality == "text" else None

    def valid_positions(self, inputs: torch.Tensor) -> torch.Tensor | None:
        """Return (N, T), true up to each sequence's last token that is not padding.

        None where no sequence is padded at its end, unless values may not be looked at. Padding
        before a sequence's last token counts as part of it, and so does the first position of a
        sequence that is padding throughout.
        """
        if self._padding is None:
            return None
        later = (inputs != self._padding).long().flip(1).cumsum(1).flip(1) > 0
        valid = torch.cat([torch.ones_like(later[:, :1]), later[:, 1:]], dim=1)
        # An exported graph, and a pass for many clients, has no branches: it takes the one that is
        # right for every batch.
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        exporting = tracing or torch.compiler.is_exporting()
        fixed = exporting or not self.may_look_at_values
        return None if not fixed and bool(valid.all()) else valid


def pool(states: torch.Tensor, valid: torch.Tensor | None, pooling: PoolingName) -> torch.Tensor:
    """Return (N, D): the last, mean or greatest of the valid positions of states (N, T, D)."""
    if valid is None:
        valid = states.new_ones(states.shape[:2], dtype=torch.bool)
    if pooling == "last":
        rows = torch.arange(states.shape[0], device=states.device)
        return states[rows, valid.sum(1) - 1]
    if pooling == "max":
        return states.masked_fill(~valid.unsqueeze(2), -torch.inf).amax(1)
    weights = valid / valid.sum(1, keepdim=True)
    return (states * weights.unsqueeze(2).to(states.dtype)).sum(1)
