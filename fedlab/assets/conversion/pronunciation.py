"""g2p-en's letters-to-phonemes GRU, under PyTorch's names; gates r, z, n as PyTorch has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedlab.assets.asset import WEIGHTS_FILE

_LAYERS = {"enc": "encoder", "dec": "decoder"}
_TENSORS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
_STORED = ("w_ih", "w_hh", "b_ih", "b_hh")


def convert(source: Path, target: Path) -> None:
    """Write encoder and decoder (Embedding → GRU(256, 256)) and the output layer (256 → 74)."""
    from safetensors.numpy import save_file

    with np.load(source / "checkpoint20.npz", allow_pickle=False) as stored:
        state = {"output.weight": stored["fc_w"], "output.bias": stored["fc_b"]}
        for short, layer in _LAYERS.items():
            state[f"{layer}_embedding.weight"] = stored[f"{short}_emb"]
            for tensor, name in zip(_TENSORS, _STORED, strict=True):
                state[f"{layer}.{tensor}"] = stored[f"{short}_{name}"]
    save_file(state, target / WEIGHTS_FILE)
