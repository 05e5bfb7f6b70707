"""textgenrnn: the character LSTM whose pretrained weights the asset of that name holds.

Architecture: github.com/minimaxir/textgenrnn (M. Woolf, 2017); the attention is the weighted
average of Felbo et al. 2017, "Using millions of emoji occurrences ...", without its mask.
"""

from __future__ import annotations

import json
from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Modality, Task
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.sequence import SequenceModel
from fedlab.registry import models

ASSET = "textgenrnn"
_VOCABULARY_FILE = "textgenrnn_vocab.json"


@models.register("textgenrnn")
class TextGenRNN(SequenceModel):
    """Character LSTM with attention over embedding and both layers; pretrained weights exist.

    Embedding(V, 100) → LSTM 128 → LSTM 128 → their concatenation (356) → attention-weighted average
    over the positions → Linear. With the defaults and the vocabulary of :func:`vocabulary` its
    state dict is the asset's. Pad on the left, with 0: padding is a symbol to it, as in training.

    forward: tokens (N, T) → (N, K); (N, T, K) where the task asks for an output at every position:
    output t is then the network's on tokens 0..t.
    """

    kinds: ClassVar[tuple[str, ...]] = ("next-token", "classification")
    modalities: ClassVar[tuple[Modality, ...]] = ("text",)
    packaged = ASSET

    class Settings(ModelSettings):
        """Keys of ``[model]``; the pretrained weights fit the defaults only."""

        embedding: int = Field(100, ge=1, le=4096, description="size of a symbol's embedding")
        hidden: int = Field(128, ge=1, le=4096, description="size of each LSTM layer")

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        self.stages = ("embedding", "rnn_1", "rnn_2", "attention")
        features = settings.embedding + 2 * settings.hidden
        self.embedding = nn.Embedding(task.vocabulary, settings.embedding)
        self.rnn_1 = nn.LSTM(settings.embedding, settings.hidden, batch_first=True)
        self.rnn_2 = nn.LSTM(settings.hidden, settings.hidden, batch_first=True)
        self.attention = nn.Linear(features, 1, bias=False)
        self.head = nn.Linear(features, task.outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (N, K) or (N, T, K) for tokens (N, T)."""
        embedded = self.embedding(inputs)
        first, _ = self.rnn_1(embedded)
        second, _ = self.rnn_2(first)
        features = torch.cat([embedded, first, second], dim=-1)
        scores = self.attention(features).squeeze(-1)
        if self.every_position:
            average = _averages_of_prefixes(scores, features)
        else:
            average = (scores.softmax(-1).unsqueeze(1) @ features).squeeze(1)
        return cast("torch.Tensor", self.head(self.dropout(average)))


def vocabulary() -> dict[str, int]:
    """Return the symbols of the pretrained network and their numbers, 1 to 464; 0 is padding.

    The line break is not among them: put spaces for line breaks, else they turn into padding.

    Raises:
        AssetMissing: If the asset is not on this machine and cannot be fetched.
    """
    from fedlab.assets import ensure

    text = (ensure(ASSET) / _VOCABULARY_FILE).read_text(encoding="utf-8")
    symbols: dict[str, int] = json.loads(text)
    return symbols


def _averages_of_prefixes(scores: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return (N, T, D): at t the average of features 0..t, weighted by the softmax of 0..t."""
    length = scores.shape[1]
    later = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
    weights = scores.unsqueeze(1).masked_fill(later, -torch.inf).softmax(-1)
    return weights @ features
