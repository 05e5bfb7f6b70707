"""An LSTM over recordings whose pretrained weights know voices.

Architecture and weights: Resemblyzer (Resemble AI, 2019), of "Generalized End-to-End Loss for
Speaker Verification", Wan et al., ICASSP 2018.
"""

from __future__ import annotations

import re
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from fedlab.data.dataset import Modality, Task
from fedlab.data.log_mel import LogMel
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.sequence import PoolingName, SequenceModel, pool
from fedlab.registry import models

ASSET = "resemblyzer"
_RATE, _MELS, _WINDOW, _HOP = 16_000, 40, 400, 160
_LAYERS, _WIDTH = 3, 256
_STORED = re.compile(r"lstm\.(\w+)_l(\d)")


@models.register("speech-lstm")
class SpeechLstm(SequenceModel):
    """LSTM of 3 layers over recordings; pretrained weights that know voices exist.

    The network was trained on mel spectrograms of the power, 40 bands, 16 kHz, windows of 25 ms
    every 10 ms. A recording's log-mel spectrogram is turned back into that first: power =
    exp(stored · scale + offset) − floor. So the data set's defaults suit the pretrained weights.

    forward: log-mel spectrograms (N, T, 40) → (N, K).
    """

    kinds: ClassVar[tuple[str, ...]] = ("classification", "regression")
    modalities: ClassVar[tuple[Modality, ...]] = ("series",)
    packaged = ASSET

    class Settings(ModelSettings):
        """Keys of ``[model]``."""

        pooling: PoolingName = Field(
            "mean",
            description="what stands for the whole recording: the mean, maximum or last of the "
            "last layer's states",
        )
        embedding: bool = Field(
            False,
            description="true: what Resemblyzer tells speakers apart by is the head's input: the "
            "last state through a linear layer and ReLU, of length 1; pooling has no effect then",
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        encoding = self._encoding(settings, task)
        features = task.encoding.features if task.encoding is not None else None
        self.offset: torch.Tensor
        self.scale: torch.Tensor
        offset, scale = (features.offset, features.scale) if features else ((0.0,), (1.0,))
        self.register_buffer("offset", torch.tensor(offset), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self._floor, self._pooling = encoding.floor, settings.pooling
        sizes = (_MELS, *[_WIDTH] * (_LAYERS - 1))
        self.layers = nn.ModuleList(nn.LSTM(size, _WIDTH, batch_first=True) for size in sizes)
        self.linear = nn.Linear(_WIDTH, _WIDTH) if settings.embedding else None
        self.head = nn.Linear(_WIDTH, task.outputs)
        stages = tuple(f"layers.{number}" for number in range(_LAYERS))
        self.stages = (*stages, "linear") if settings.embedding else stages

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (N, K) outputs for standardised log-mel spectrograms (N, T, 40)."""
        states = (inputs * self.scale + self.offset).exp() - self._floor
        for layer in self.layers:
            states, _ = layer(states)
        if self.linear is not None:
            raw = torch.relu(self.linear(states[:, -1]))
            pooled = functional.normalize(raw, dim=1)
        else:
            pooled = pool(states, None, self._pooling)
        outputs: torch.Tensor = self.head(self.dropout(pooled))
        return outputs

    def adapted(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return Resemblyzer's weights by layer; its linear layer only where it is used."""
        found = {}
        for name, tensor in weights.items():
            match = _STORED.fullmatch(name)
            if match is not None:
                found[f"layers.{match[2]}.{match[1]}_l0"] = tensor
            elif self.linear is not None or not name.startswith("linear."):
                found[name] = tensor
        return found

    def _encoding(self, settings: ModelSettings, task: Task) -> LogMel:
        """Return how the data set's recordings became spectrograms.

        Raises:
            FedlabError: If they are no recordings, or not as the network reads them.
        """
        encoding = task.encoding.sound if task.encoding is not None else None
        if encoding is None:
            raise FedlabError(
                f"model.name: '{settings.name}' takes recordings, as the data sets sound and "
                "spoken-digits read them; rnn, lstm, gru and transformer take any series"
            )
        wanted = (_RATE, _MELS, _WINDOW, _HOP, 0.0, _RATE / 2)
        found = (encoding.rate, encoding.mels, encoding.window, encoding.hop)
        if (*found, encoding.lowest, encoding.highest) != wanted:
            raise FedlabError(
                f"model.name: '{settings.name}' reads {_MELS} bands from 0 to {_RATE // 2} hertz "
                f"of recordings at {_RATE} samples a second, in windows of 25 ms every 10 ms; "
                "leave data.rate, mels, window, hop, lowest and highest at their defaults"
            )
        return encoding
