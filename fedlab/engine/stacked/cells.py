"""Layers whose kernels serve one client's weights, written as operations that serve many.

cuDNN and oneDNN have kernels for a whole recurrent layer, for one set of weights. A stack of
clients takes them step by step, as batched products; equations in
:mod:`fedlab.models.zoo.recurrent`.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def without_kernels_of_one(module: nn.Module) -> nn.Module:
    """Return a module with its recurrent layers and embeddings replaced, in place.

    Parameters keep their names. Attention of timm's is told to write its products out: torch maps
    not every fused kernel, and loops over clients where it does not.

    Args:
        module: The module; sequences are given to its recurrent layers with the batch first.
    """
    if isinstance(module, nn.RNNBase):
        return Recurrent(module)
    if isinstance(module, nn.Embedding):
        return Lookup(module)
    if hasattr(module, "fused_attn"):
        module.fused_attn = False  # type: ignore[assignment]
    for name, child in module.named_children():
        setattr(module, name, without_kernels_of_one(child))
    return module


class Lookup(nn.Module):
    """An embedding whose row for padding gets no gradient, as torch's."""

    def __init__(self, layer: nn.Embedding) -> None:
        super().__init__()
        self.weight = layer.weight
        self._padding = layer.padding_idx

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (..., D) for tokens (...)."""
        table = self.weight
        if self._padding is not None:
            rows = torch.arange(len(table), device=table.device).unsqueeze(1)
            table = torch.where(rows == self._padding, table.detach(), table)
        return table[tokens]


class Recurrent(nn.Module):
    """A recurrent layer of one level, step by step; it is called as torch's.

    Args:
        layer: torch's, ``batch_first``, with one level and no projection.
    """

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        if not layer.batch_first or layer.num_layers != 1 or layer.proj_size:
            raise ValueError("a layer of one level that takes the batch first")
        for name, parameter in layer.named_parameters():
            self.register_parameter(name, parameter)
        self._mode, self._width = layer.mode, layer.hidden_size
        self._directions = ("_l0", "_l0_reverse") if layer.bidirectional else ("_l0",)

    def forward(
        self, sequence: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | tuple[torch.Tensor, torch.Tensor]]:
        """Return every state (N, T, directions · D) and the final ones (directions, N, D).

        Of an LSTM the final hidden and the final cell states.
        """
        read = [self._read(sequence, suffix) for suffix in self._directions]
        states = torch.cat([states for states, _, _ in read], -1)
        hidden, cells = (torch.stack([one[n] for one in read]) for n in (1, 2))
        return states, (hidden, cells) if self._mode == "LSTM" else hidden

    def _read(
        self, sequence: torch.Tensor, suffix: str
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return all hidden states (N, T, D), and the last hidden and cell states (N, D)."""
        weight, bias = self._of(f"hh{suffix}")
        entered = functional.linear(sequence, *self._of(f"ih{suffix}"))
        hidden = cell = entered.new_zeros(sequence.shape[0], self._width)
        steps = entered.unbind(1)
        backwards = suffix.endswith("_reverse")
        states = []
        for step in reversed(steps) if backwards else steps:
            recurrent = functional.linear(hidden, weight, bias)
            hidden, cell = self._next(step, recurrent, hidden, cell)
            states.append(hidden)
        return torch.stack(states[::-1] if backwards else states, 1), hidden, cell

    def _of(self, name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the weight and the bias of this name."""
        return getattr(self, f"weight_{name}"), getattr(self, f"bias_{name}", None)

    def _next(
        self,
        entered: torch.Tensor,
        recurrent: torch.Tensor,
        hidden: torch.Tensor,
        cell: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next hidden and cell state.

        Args:
            entered: W_ih x + b_ih.
            recurrent: W_hh h + b_hh.
            hidden, cell: h and c.
        """
        if self._mode == "GRU":
            (r, z, n), (own_r, own_z, own_n) = entered.chunk(3, 1), recurrent.chunk(3, 1)
            reset, update = (r + own_r).sigmoid(), (z + own_z).sigmoid()
            candidate = (n + reset * own_n).tanh()
            return candidate + update * (hidden - candidate), cell
        gates = entered + recurrent
        if self._mode == "LSTM":
            i, f, g, o = gates.chunk(4, 1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            return o.sigmoid() * cell.tanh(), cell
        return (gates.relu() if self._mode == "RNN_RELU" else gates.tanh()), cell
