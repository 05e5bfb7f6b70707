"""textgenrnn's Keras weights, under the names of the zoo model ``textgenrnn``.

The two LSTMs are stored in Keras's CuDNN layout: the gates i, f, c, o side by side, in PyTorch's
order, and PyTorch's two biases concatenated.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedlab.assets.asset import WEIGHTS_FILE

Array = npt.NDArray[np.float32]

_GATES = 4
_STORED = (
    "embedding/embeddings:0",
    "attention/attention_W:0",
    "output/kernel:0",
    "output/bias:0",
    *(f"rnn_{n}/{part}:0" for n in (1, 2) for part in ("kernel", "recurrent_kernel", "bias")),
)


def convert(source: Path, target: Path) -> None:
    """Write the network, and its vocabulary next to it."""
    import h5py
    from safetensors.numpy import save_file

    with h5py.File(source / "textgenrnn_weights.hdf5") as stored:
        arrays = {path: stored[f"{path.split('/')[0]}/{path}"][()] for path in _STORED}
    state = {
        "embedding.weight": arrays["embedding/embeddings:0"],
        "attention.weight": arrays["attention/attention_W:0"].T,
        "head.weight": arrays["output/kernel:0"].T,
        "head.bias": arrays["output/bias:0"],
        **_lstm(arrays, "rnn_1"),
        **_lstm(arrays, "rnn_2"),
    }
    save_file({n: np.ascontiguousarray(a) for n, a in state.items()}, target / WEIGHTS_FILE)
    shutil.copy(source / "textgenrnn_vocab.json", target)


def _lstm(arrays: dict[str, Array], layer: str) -> dict[str, Array]:
    kernel, recurrent = arrays[f"{layer}/kernel:0"], arrays[f"{layer}/recurrent_kernel:0"]
    width = recurrent.shape[0]
    # Each gate's kernel has PyTorch's memory layout (width, inputs), declared with another shape.
    gates = [gate.ravel().reshape(width, -1) for gate in np.hsplit(kernel, _GATES)]
    bias = arrays[f"{layer}/bias:0"]
    return {
        f"{layer}.weight_ih_l0": np.vstack(gates),
        f"{layer}.weight_hh_l0": np.vstack(np.hsplit(recurrent, _GATES)),
        f"{layer}.bias_ih_l0": bias[: _GATES * width],
        f"{layer}.bias_hh_l0": bias[_GATES * width :],
    }
