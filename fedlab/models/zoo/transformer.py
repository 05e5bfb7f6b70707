"""The Transformer, as encoder and decoder or as encoder only.

Source: Vaswani et al., "Attention is all you need", NeurIPS 2017. Unlike there, the embedding and
the last layer have weights of their own.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, TypedDict

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.sequence import PoolingName, SequenceModel, pool
from fedlab.registry import models


def sinusoidal_positions(length: int, width: int) -> torch.Tensor:
    """Return the position vectors, (length, width), of Vaswani et al. 2017, section 3.5.

    Component 2i of position p is sin(p / 10000^(2i / width)), component 2i + 1 the cosine.
    """
    position = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    frequency = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = position * frequency
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width].float()


class _LayerArguments(TypedDict):
    d_model: int
    nhead: int
    dim_feedforward: int
    dropout: float
    activation: Literal["relu", "gelu"]
    batch_first: bool
    norm_first: bool


@models.register("transformer")
class Transformer(SequenceModel):
    """Transformer: encoder and decoder for sequence-to-sequence tasks, else an encoder only.

    Next-token tasks mask what comes later. A sequence-to-sequence input holds the source's tokens
    and, after them, the decoder's; both index one vocabulary.
    """

    kinds: ClassVar[tuple[str, ...]] = (*SequenceModel.kinds, "sequence-to-sequence")

    class Settings(ModelSettings):
        """Settings of the Transformer."""

        width: int = Field(64, ge=1, le=16384, description="size of a position's vector")
        heads: int = Field(4, ge=1, le=256, description="attention heads; they share the width")
        layers: int = Field(2, ge=1, le=128, description="number of encoder layers")
        decoder_layers: int | None = Field(
            None, ge=1, le=128, description="number of decoder layers; left out: as many"
        )
        feedforward: int = Field(
            256, ge=1, le=65536, description="hidden units of a layer's feed-forward network"
        )
        activation: Literal["relu", "gelu"] = Field(
            "relu", description="activation function of the feed-forward networks"
        )
        norm: Literal["pre", "post"] = Field(
            "post",
            description="layer norm after each residual sum (2017), or before each sublayer",
        )
        layer_dropout: float = Field(
            0.0, ge=0, lt=1, description="dropout rate inside the layers and after the embedding"
        )
        pooling: PoolingName = Field(
            "mean",
            description="what stands for the whole sequence in classification and regression; "
            "next-token tasks take the last position",
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        _check(settings, task)
        self._source_length = task.source_length if task.kind == "sequence-to-sequence" else None
        self._causal = task.kind == "next-token"
        self._pooling: PoolingName = "last" if self._causal else settings.pooling
        self._scale = math.sqrt(settings.width) if task.modality == "text" else 1.0
        self.embedding = _embedding(task, settings.width)
        self.position_dropout = nn.Dropout(settings.layer_dropout)
        arguments = _layer_arguments(settings)
        # One by one, because nn.TransformerEncoder would start every layer from the same weights.
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(**arguments) for _ in range(settings.layers)
        )
        decoder_layers = settings.decoder_layers or settings.layers
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(**arguments)
            for _ in range(decoder_layers if self._source_length is not None else 0)
        )
        pre = settings.norm == "pre"
        self.encoder_norm = nn.LayerNorm(settings.width) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(settings.width) if pre and self.decoder else nn.Identity()
        self.head = nn.Linear(settings.width, task.outputs)
        positions = sinusoidal_positions(task.input_shape[0], settings.width)
        self.register_buffer("positions", positions, persistent=False)
        self.positions: torch.Tensor
        self.stages = (
            "embedding",
            *(f"encoder.{number}" for number in range(len(self.encoder))),
            *(f"decoder.{number}" for number in range(len(self.decoder))),
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (N, T, K) or (N, K) outputs for tokens (N, T) or series (N, T, F).

        For a sequence-to-sequence task: (N, T, K) for tokens (N, source_length + T).
        """
        if self._source_length is not None:
            source = inputs[:, : self._source_length]
            states = self._decode(inputs[:, self._source_length :], source)
        else:
            states, valid = self._encode(inputs)
            if not self.every_position:
                states = pool(states, valid, self._pooling)
        outputs: torch.Tensor = self.head(self.dropout(states))
        return outputs

    def _encode(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the states (N, T, width) and which of them are valid."""
        valid = self.valid_positions(inputs)
        hidden = None if valid is None else ~valid
        mask = self._later(inputs.shape[1]) if self._causal else None
        states = self._embed(inputs)
        for layer in self.encoder:
            states = layer(states, src_mask=mask, src_key_padding_mask=hidden)
        return self.encoder_norm(states), valid

    def _decode(self, tokens: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Return the decoder's states (N, T, width), given its input tokens and the source's."""
        memory, valid = self._encode(source)
        hidden = None if valid is None else ~valid
        mask = self._later(tokens.shape[1])
        states = self._embed(tokens)
        for layer in self.decoder:
            states = layer(states, memory, tgt_mask=mask, memory_key_padding_mask=hidden)
        normalised: torch.Tensor = self.decoder_norm(states)
        return normalised

    def _embed(self, inputs: torch.Tensor) -> torch.Tensor:
        embedded = self.embedding(inputs) * self._scale + self.positions[: inputs.shape[1]]
        dropped: torch.Tensor = self.position_dropout(embedded)
        return dropped

    def _later(self, length: int) -> torch.Tensor:
        """Return (length, length), true where the column comes after the row."""
        ones = torch.ones(length, length, dtype=torch.bool, device=self.positions.device)
        return ones.triu(1)


def _check(settings: Transformer.Settings, task: Task) -> None:
    if settings.width % settings.heads:
        raise FedlabError(
            f"model.heads: {settings.heads} heads cannot share model.width = {settings.width} "
            "evenly; take a divisor of the width"
        )
    if task.kind != "sequence-to-sequence":
        return
    if task.modality != "text":
        raise FedlabError(
            "model.name: the transformer's decoder reads tokens, and the data set holds series"
        )
    if not 0 < task.source_length < task.input_shape[0]:
        raise FedlabError(
            f"model.name: a sequence-to-sequence input of {task.input_shape[0]} tokens must hold "
            f"a source and a target, and the data set's task counts {task.source_length} as source"
        )


def _embedding(task: Task, width: int) -> nn.Module:
    if task.modality == "series":
        return nn.Linear(task.input_shape[-1], width)
    embedding = nn.Embedding(task.vocabulary, width)
    # The embedding is multiplied by √width before the positions, of unit scale, are added.
    nn.init.normal_(embedding.weight, std=width**-0.5)
    return embedding


def _layer_arguments(settings: Transformer.Settings) -> _LayerArguments:
    return {
        "d_model": settings.width,
        "nhead": settings.heads,
        "dim_feedforward": settings.feedforward,
        "dropout": settings.layer_dropout,
        "activation": settings.activation,
        "batch_first": True,
        "norm_first": settings.norm == "pre",
    }
