"""FT-Transformer: a Transformer over the columns of a table.

Source: Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting deep learning models for tabular
data", NeurIPS 2021, section 3.3.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from fedlab.data.dataset import Modality, Task
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.contract import ZooModel
from fedlab.registry import models


def column_widths(task: Task) -> tuple[int, ...]:
    """Return how many features each column of a table has; 1 each where the task does not say."""
    table = task.encoding.table if task.encoding is not None else None
    return table.widths if table is not None else (1,) * task.input_shape[0]


class FeatureTokenizer(nn.Module):
    """A vector for each column, and one for the answer ([CLS]), which comes last.

    Of a number T_j = b_j + x_j W_j; of a category T_j = b_j + e_jᵀ W_j with the one-hot vector e_j
    (equation 1). Both are T_j = b_j + x_jᵀ W_j over the features x_j of the column, so a missing
    value's indicator, the parts of a date, and a category that training never saw (e_j = 0) fit in.

    Args:
        widths: How many features each column has.
        width: The size d of a vector.
    """

    def __init__(self, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(sum(widths), width))
        self.bias = nn.Parameter(torch.empty(len(widths), width))
        self.cls = nn.Parameter(torch.empty(width))
        bound = 1 / math.sqrt(width)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        # Numbers that torch's meta device knows, too, on which parameters are counted.
        column = torch.tensor([n for n, wide in enumerate(widths) for _ in range(wide)])
        member = functional.one_hot(column, len(widths)).float()
        self.register_buffer("member", member, persistent=False)
        self.member: torch.Tensor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (N, columns + 1, width) of features (N, sum of widths)."""
        columns = torch.einsum("nf,fd,fc->ncd", inputs, self.weight, self.member) + self.bias
        return torch.cat([columns, self.cls.expand(len(inputs), 1, -1)], dim=1)


class Block(nn.Module):
    """A layer: x ← x + MHSA(norm(x)), then x ← x + FFN(norm(x)) with ReGLU (pre-norm).

    Args:
        width: The size d of a vector.
        heads: Attention heads.
        hidden: Hidden units of the feed-forward network.
        dropout: Rate within attention and feed-forward network.
        is_first: Whether this is the first layer, whose attention takes its input without a norm.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, is_first: bool) -> None:
        super().__init__()
        self.attention_norm = nn.Identity() if is_first else nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, 2 * hidden)
        self.leave = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens (N, T, width) of tokens (N, T, width)."""
        normed = self.attention_norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        value, gate = self.enter(self.norm(tokens)).chunk(2, dim=-1)
        updated: torch.Tensor = tokens + self.leave(self.dropout(value * gate.relu()))
        return updated


@models.register("ft-transformer")
class FtTransformer(ZooModel):
    """FT-Transformer: each column of a table a token, attention over columns.

    The answer is Linear(ReLU(LayerNorm(T[CLS]))). The paper's default is width 192, 3 layers, 8
    heads and ReGLU with 4/3 of the width; this one's is smaller, for tables of a few thousand rows.
    """

    modalities: ClassVar[tuple[Modality, ...]] = ("tabular",)

    class Settings(ModelSettings):
        """Settings of the FT-Transformer."""

        width: int = Field(64, ge=1, le=4096, description="size of a column's vector")
        layers: int = Field(2, ge=1, le=64, description="number of layers")
        heads: int = Field(4, ge=1, le=256, description="attention heads; they share the width")
        feedforward: float = Field(
            4 / 3, gt=0, le=16, description="hidden units of a feed-forward network, per width"
        )
        layer_dropout: float = Field(
            0.1, ge=0, lt=1, description="dropout rate within attention and feed-forward networks"
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        width, heads = settings.width, settings.heads
        if width % heads:
            raise FedlabError(
                f"model.heads: {heads} heads cannot share a width of {width}; take a divisor of it"
            )
        hidden = max(1, round(width * settings.feedforward))
        self.tokenizer = FeatureTokenizer(column_widths(task), width)
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, settings.layer_dropout, number == 0)
            for number in range(settings.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, task.outputs)
        self.stages = ("tokenizer", *(f"blocks.{n}" for n in range(settings.layers)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (N, outputs), of features (N, F)."""
        tokens = self.tokenizer(inputs)
        for block in self.blocks:
            tokens = block(tokens)
        outputs: torch.Tensor = self.head(self.dropout(self.norm(tokens[:, -1]).relu()))
        return outputs
