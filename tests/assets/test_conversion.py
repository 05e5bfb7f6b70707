"""Converted weights do what the original network does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fedlab.assets import WEIGHTS_FILE

AssetFixture = Callable[[str], Path]
IMAGENET_CATS = range(281, 286)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_efficientnet_lite_sees_a_cat(number: int, asset: AssetFixture) -> None:
    import timm
    from torchvision.io import decode_image
    from torchvision.transforms.v2 import functional

    model = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    model.load_state_dict(load_file(asset(f"efficientnet-lite{number}") / WEIGHTS_FILE))
    picture = decode_image(str(asset("pictures") / "chelsea.png"))
    square = functional.resize(functional.center_crop(picture, [300, 300]), [224, 224])
    with torch.no_grad():
        best = int(model((square.float().unsqueeze(0) - 127.5) / 127.5).argmax())
    assert best in IMAGENET_CATS


def test_dinov2_equals_the_original_in_onnxruntime(
    asset: AssetFixture, carried: Callable[[str], Path]
) -> None:
    import timm

    weights = load_file(asset("dinov2-small") / WEIGHTS_FILE)
    pictures = np.random.default_rng(0).standard_normal((1, 3, 518, 518), dtype=np.float32)
    model = timm.create_model("vit_small_patch14_dinov2", num_classes=0).eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        found = model.forward_features(torch.from_numpy(pictures)).numpy()
    expected = _onnx_features(carried("dinov2-small") / "vit_s_focus.onnx", pictures)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_resemblyzer_fits_its_network(asset: AssetFixture) -> None:
    weights = load_file(asset("resemblyzer") / WEIGHTS_FILE)
    network = nn.ModuleDict({"lstm": nn.LSTM(40, 256, 3), "linear": nn.Linear(256, 256)})
    network.load_state_dict(weights)


def test_g2p_pronounces_letters(asset: AssetFixture) -> None:
    weights = load_file(asset("g2p") / WEIGHTS_FILE)
    network = nn.ModuleDict(
        {
            "encoder_embedding": nn.Embedding(29, 256),
            "encoder": nn.GRU(256, 256, batch_first=True),
            "decoder_embedding": nn.Embedding(74, 256),
            "decoder": nn.GRU(256, 256, batch_first=True),
            "output": nn.Linear(256, 74),
        }
    )
    network.load_state_dict(weights)
    end_of_word, start, end, first_letter = 2, 2, 3, 3
    letters = [ord(letter) - ord("a") + first_letter for letter in "cat"] + [end_of_word]
    phonemes: list[int] = []
    with torch.no_grad():
        _, state = network["encoder"](network["encoder_embedding"](torch.tensor([letters])))
        last = start
        while last != end and len(phonemes) < 10:
            embedded = network["decoder_embedding"](torch.tensor([[last]]))
            out, state = network["decoder"](embedded, state)
            last = int(network["output"](out).argmax())
            phonemes.append(last)
    k, ae1, t = 45, 8, 60  # positions in g2p-en's list of phonemes
    assert phonemes == [k, ae1, t, end]


def _onnx_features(file: Path, pictures: np.ndarray) -> np.ndarray:
    """Return the backbone's last normalised tokens, which the file itself does not put out."""
    import onnx
    import onnxruntime

    model = onnx.load(str(file))
    for dimension, size in zip(
        model.graph.input[0].type.tensor_type.shape.dim, pictures.shape, strict=True
    ):
        dimension.dim_value = size
    last = [node for node in model.graph.node if "/backbone/layernorm" in node.name][-1].output[0]
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(last, 1, None))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    features: np.ndarray = session.run(None, {"input_image": pictures})[0]
    return features
