"""textgenrnn: the character LSTM whose pretrained weights the asset of that name holds.

Architecture: github.com/minimaxir/textgenrnn (M. Woolf, 2017); the attention is the weighted
average of Felbo et al. 2017, "Using millions of emoji occurrences ...", without its mask.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Modality, Task
from fedlab.data.textgenrnn import ASSET, textgenrnn_tokens
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.sequence import SequenceModel
from fedlab.registry import models


@models.register("textgenrnn")
class TextGenRNN(SequenceModel):
    """Character LSTM with attention over embedding and both layers; pretrained weights exist.

    Embedding(V, 100) → LSTM 128 → LSTM 128 → their concatenation (356) → attention-weighted average
    over the positions → Linear. The asset's weights fit the defaults and ``data.tokens =
    "textgenrnn"``. Padding is a symbol to it, on the left as in its training: what pads a text at
    its end is moved there.

    forward: tokens (N, T) → (N, K); (N, T, K) where the task asks for an output at every position:
    output t is then the network's on tokens 0..t.
    """

    kinds: ClassVar[tuple[str, ...]] = ("next-token", "classification", "regression")
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
        embedded = self.embedding(self._padded_at_the_beginning(inputs))
        first, _ = self.rnn_1(embedded)
        second, _ = self.rnn_2(first)
        features = torch.cat([embedded, first, second], dim=-1)
        scores = self.attention(features).squeeze(-1)
        if self.every_position:
            average = _averages_of_prefixes(scores, features)
        else:
            average = (scores.softmax(-1).unsqueeze(1) @ features).squeeze(1)
        return cast("torch.Tensor", self.head(self.dropout(average)))

    def _padded_at_the_beginning(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return tokens (N, T) with the padding of their ends moved to their beginnings."""
        valid = None if self.every_position else self.valid_positions(inputs)
        if valid is None:
            return inputs
        length = inputs.shape[1]
        places = torch.arange(length, device=inputs.device) + valid.sum(1, keepdim=True)
        return inputs.gather(1, places % length)

    def _check(self, settings: ModelSettings, task: Task) -> None:
        super()._check(settings, task)
        if settings.pretrained != "package":
            return
        known = task.encoding.tokens if task.encoding is not None else ()
        expected = textgenrnn_tokens()
        # The first is for padding, whatever the data set calls it.
        if task.vocabulary != len(expected) or (known and known[1:] != expected[1:]):
            raise FedlabError(
                f"data.tokens: the pretrained weights know {len(expected)} characters of their own "
                f"alone, and the data set has {task.vocabulary} other tokens; say data.tokens = "
                "'textgenrnn' (of the data set shakespeare, data.vocabulary)"
            )


def _averages_of_prefixes(scores: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return (N, T, D): at t the average of features 0..t, weighted by the softmax of 0..t."""
    length = scores.shape[1]
    later = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
    weights = scores.unsqueeze(1).masked_fill(later, -torch.inf).softmax(-1)
    return weights @ features
