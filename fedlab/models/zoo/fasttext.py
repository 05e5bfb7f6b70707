"""fastText: a text as the mean of the vectors of its tokens and of their n-grams.

Source: Joulin, Grave, Bojanowski and Mikolov 2017, "Bag of tricks for efficient text
classification" (EACL), section 2: a linear classifier over the averaged vectors of words and of
hashed n-grams. Over characters, the n-grams are those of Bojanowski et al. 2017, "Enriching word
vectors with subword information".
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Modality, Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.sequence import SequenceModel
from fedlab.registry import models

_FACTOR = 1_000_003
"""By which a hash is multiplied from one token to the next, modulo 2³¹ − 1."""
_PRIME = 2**31 - 1


@models.register("fasttext")
class FastText(SequenceModel):
    """fastText: the mean of vectors of tokens and of their hashed n-grams, then a linear layer.

    Fast, and hard to beat on texts of a few thousand examples; padding counts for nothing.
    """

    kinds: ClassVar[tuple[str, ...]] = ("classification", "regression")
    modalities: ClassVar[tuple[Modality, ...]] = ("text",)

    class Settings(ModelSettings):
        """Settings of fastText."""

        width: int = Field(64, ge=1, le=16384, description="size of a vector")
        ngrams: int | None = Field(
            None,
            ge=1,
            le=8,
            description="longest n-grams; default: 4 of characters, 2 of other tokens",
        )
        buckets: int = Field(
            20_000, ge=1, le=10**7, description="vectors that all n-grams of 2 and more share"
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        encoding = task.encoding
        letters = encoding is not None and encoding.unit == "characters" and not encoding.tokenizer
        self._longest = settings.ngrams or (4 if letters else 2)
        self._buckets = settings.buckets
        self.embedding = nn.Embedding(task.vocabulary, settings.width)
        further = settings.buckets if self._longest > 1 else 0
        self.grams = nn.Embedding(further, settings.width) if further else None
        for table in filter(None, (self.embedding, self.grams)):
            nn.init.uniform_(table.weight, -1 / settings.width, 1 / settings.width)
        self.head = nn.Linear(settings.width, task.outputs)
        self.stages = ("embedding", *(("grams",) if further else ()))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (N, outputs) for tokens (N, T)."""
        valid = self.valid_positions(inputs)
        if valid is None:
            valid = torch.ones_like(inputs, dtype=torch.bool)
        weights = valid.unsqueeze(2).to(self.embedding.weight.dtype)
        total, count = (self.embedding(inputs) * weights).sum(1), weights.sum(1)
        hashed = inputs
        for length in range(2, self._longest + 1):
            if self.grams is None or inputs.shape[1] < length:
                break
            hashed = (hashed[:, :-1] * _FACTOR + inputs[:, length - 1 :]) % _PRIME
            whole = weights[:, length - 1 :]
            total = total + (self.grams(hashed % self._buckets) * whole).sum(1)
            count = count + whole.sum(1)
        outputs: torch.Tensor = self.head(self.dropout(total / count))
        return outputs
