"""Recurrent networks: Elman's, LSTM and GRU.

For one layer with input x and state h, σ the logistic function and ⊙ the elementwise product:

    RNN   h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    LSTM  i, f, o = σ(W_ih x + b_ih + W_hh h + b_hh), one block of rows each
          g = tanh(W_ih x + b_ih + W_hh h + b_hh)
          c' = f ⊙ c + i ⊙ g,  h' = o ⊙ tanh(c')

    GRU   r, z = σ(W_ih x + b_ih + W_hh h + b_hh), one block of rows each
          h̃ = tanh(W_ih x + b_ih + r ⊙ (W_hh h + b_hh))
          h' = (1 − z) ⊙ h̃ + z ⊙ h

Sources: Elman, "Finding structure in time", Cognitive Science 14 (1990); Hochreiter and
Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), with the forget gate of Gers,
Schmidhuber and Cummins (2000); Cho et al., "Learning phrase representations using RNN
encoder-decoder", EMNLP 2014.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.sequence import PoolingName, SequenceModel, pool
from fedlab.registry import models


class RecurrentSettings(ModelSettings):
    """Settings that the recurrent networks share."""

    hidden: int = Field(128, ge=1, le=16384, description="size of the state, in each direction")
    layers: int = Field(1, ge=1, le=64, description="number of recurrent layers")
    bidirectional: bool = Field(False, description="read the sequence backwards, too")
    embedding: int = Field(64, ge=1, le=16384, description="size of a token's embedding")
    layer_dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout rate between two recurrent layers"
    )
    pooling: PoolingName = Field(
        "last",
        description="what stands for the whole sequence: its last state, or the mean or maximum "
        "of its states",
    )


class RecurrentModel(SequenceModel):
    """Embedding (tokens only), recurrent layers, dropout, linear head.

    Sequences that end in padding are read up to their last token, in both directions. Each layer is
    a module of its own, so that ``last:K`` can train some of them.
    """

    can_be_stacked: ClassVar[bool] = True
    cell: ClassVar[type[nn.RNN | nn.LSTM | nn.GRU]]

    def __init__(self, settings: RecurrentSettings, task: Task) -> None:
        super().__init__(settings, task)
        if settings.bidirectional and task.kind == "next-token" and self.every_position:
            raise FedlabError(
                "model.bidirectional: read backwards, the state at a position already holds the "
                "next token, which this task asks for at every position; set it to false"
            )
        self._pooling = settings.pooling
        self.is_bidirectional = settings.bidirectional
        text = task.modality == "text"
        self.embedding = (
            nn.Embedding(task.vocabulary, settings.embedding, padding_idx=task.input_padding)
            if text
            else nn.Identity()
        )
        size = settings.embedding if text else task.input_shape[-1]
        width = settings.hidden * (2 if settings.bidirectional else 1)
        self.layers = nn.ModuleList(
            self._layer(settings, width if number else size) for number in range(settings.layers)
        )
        self.layer_dropout = nn.Dropout(settings.layer_dropout)
        self.head = nn.Linear(width, task.outputs)
        layers = tuple(f"layers.{number}" for number in range(settings.layers))
        self.stages = ("embedding", *layers) if text else layers

    def _layer(self, settings: RecurrentSettings, size: int) -> nn.RNNBase:
        return self.cell(
            size, settings.hidden, batch_first=True, bidirectional=settings.bidirectional
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (N, T, K) or (N, K) outputs for tokens (N, T) or series (N, T, F)."""
        valid = self.valid_positions(inputs)
        states, final = self._read(self.embedding(inputs), valid)
        if not self.every_position:
            states = final if self._pooling == "last" else pool(states, valid, self._pooling)
        outputs: torch.Tensor = self.head(self.dropout(states))
        return outputs

    def _read(
        self, sequence: torch.Tensor, valid: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return every state (N, T, D) of the last layer and its final ones (N, D)."""
        if valid is None:
            return self._through_layers(sequence)
        fixed = torch.compiler.is_exporting() or not self.may_look_at_values
        if fixed and not self.is_bidirectional:
            # Neither exported graphs nor passes for many clients know packed sequences. Read
            # forwards, padding at the end changes nothing before it.
            states, _ = self._through_layers(sequence)
            return states, pool(states, valid, "last")
        packed = pack_padded_sequence(
            sequence, valid.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, final = self._through_layers(packed)
        padded, _ = pad_packed_sequence(states, batch_first=True, total_length=valid.shape[1])
        return padded, final

    def _through_layers(self, sequence: Any) -> tuple[Any, torch.Tensor]:
        """Return every state, packed where ``sequence`` is, and the final ones (N, D)."""
        for number, layer in enumerate(self.layers):
            if number:
                sequence = self._drop(sequence)
            sequence, state = layer(sequence)
        # An LSTM returns its hidden and its cell state, the others the hidden state alone.
        hidden: torch.Tensor = state[0] if self.cell is nn.LSTM else state
        return sequence, hidden.transpose(0, 1).flatten(1)

    def _drop(self, sequence: torch.Tensor | PackedSequence) -> torch.Tensor | PackedSequence:
        if isinstance(sequence, PackedSequence):
            return PackedSequence(
                self.layer_dropout(sequence.data),
                sequence.batch_sizes,
                sequence.sorted_indices,
                sequence.unsorted_indices,
            )
        dropped: torch.Tensor = self.layer_dropout(sequence)
        return dropped


@models.register("rnn")
class Rnn(RecurrentModel):
    """Recurrent network of Elman (1990): for classification, tagging, next-token, regression."""

    cell = nn.RNN

    class Settings(RecurrentSettings):
        """Settings of Elman's recurrent network."""

        nonlinearity: Literal["tanh", "relu"] = Field(
            "tanh", description="activation function of the state"
        )

    def _layer(self, settings: RecurrentSettings, size: int) -> nn.RNNBase:
        assert isinstance(settings, Rnn.Settings)
        return nn.RNN(
            size,
            settings.hidden,
            nonlinearity=settings.nonlinearity,
            batch_first=True,
            bidirectional=settings.bidirectional,
        )


class GatedSettings(RecurrentSettings):
    """Settings that the gated recurrent networks share."""

    memory_bias: float = Field(
        0.0,
        ge=-20,
        le=20,
        description="added at the start to the bias of the gate that keeps the state; ln T lets it "
        "last for some T steps",
    )


class GatedModel(RecurrentModel):
    """A recurrent network with a gate that keeps the state: the LSTM's f, the GRU's z.

    Its bias at the start decides how far back gradients reach: a gate of 1/2 halves them with every
    step. Sources: Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network
    architectures", ICML 2015; Tallec and Ollivier, "Can recurrent neural networks warp time?", ICLR
    2018 (memory over T steps wants a bias of about ln T).
    """

    def _layer(self, settings: RecurrentSettings, size: int) -> nn.RNNBase:
        assert isinstance(settings, GatedSettings)
        layer = super()._layer(settings, size)
        for name, parameter in layer.named_parameters():
            if name.startswith("bias_ih"):
                # Both f, of i, f, g, o, and z, of r, z, h̃, are the second block of rows.
                with torch.no_grad():
                    parameter[settings.hidden : 2 * settings.hidden] += settings.memory_bias
        return layer


@models.register("lstm")
class Lstm(GatedModel):
    """Long short-term memory: for classification, tagging, next-token, regression."""

    cell = nn.LSTM

    class Settings(GatedSettings):
        """Settings of the LSTM."""


@models.register("gru")
class Gru(GatedModel):
    """Gated recurrent unit: for classification, tagging, next-token, regression."""

    # PyTorch's z keeps the old state, h' = (1 − z) ⊙ h̃ + z ⊙ h. Textbooks that let z admit the
    # candidate, h' = (1 − z) ⊙ h + z ⊙ h̃, call that gate 1 − z here: their weights for it are
    # these with the sign turned.
    cell = nn.GRU

    class Settings(GatedSettings):
        """Settings of the GRU."""
