"""The speech LSTM computes what Resemblyzer does, from the data set's log-mel spectrograms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fedlab.data.dataset import Encoding, Scaling, Task
from fedlab.data.log_mel import LogMel
from fedlab.errors import FedlabError
from fedlab.models.network import build_network
from fedlab.models.zoo.speech_lstm import SpeechLstm

SOUND = LogMel(16_000, 1600, 400, 160, 40, 0.0, 8000.0, -30.0)
SCALING = Scaling(tuple(map(str, range(40))), (-3.0,) * 40, (2.0,) * 40)


def task(sound: LogMel | None = SOUND) -> Task:
    encoding = Encoding(features=SCALING, sound=sound)
    return Task("classification", "series", (11, 40), 3, encoding=encoding)


def resemblyzer() -> dict[str, torch.Tensor]:
    """Return random weights as the asset names them."""
    torch.manual_seed(0)
    lstm, linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
    state = {f"lstm.{name}": tensor for name, tensor in lstm.state_dict().items()}
    return state | {f"linear.{name}": tensor for name, tensor in linear.state_dict().items()}


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(1).standard_normal((2, 11, 40)).astype(np.float32)
    )


def states(inputs: torch.Tensor) -> torch.Tensor:
    """Return what Resemblyzer's LSTM makes of the mel spectrograms of the power."""
    lstm = nn.LSTM(40, 256, 3, batch_first=True)
    lstm.load_state_dict(
        {n.removeprefix("lstm."): t for n, t in resemblyzer().items() if n.startswith("lstm.")}
    )
    found, _ = lstm((inputs.double() * 2 - 3).exp().float() - SOUND.floor)
    return found.detach()


def built(tmp_path, **keys) -> nn.Module:
    save_file(resemblyzer(), tmp_path / "weights.safetensors")
    weights = str(tmp_path / "weights.safetensors")
    settings = SpeechLstm.Settings(name="speech-lstm", pretrained=weights, **keys)
    network = build_network(settings, task(), seed=1)
    network.evaluation_mode()
    return network.model.module


@torch.no_grad()
def test_its_features_are_the_mean_of_resemblyzers_states(tmp_path, inputs):
    module = built(tmp_path)
    assert torch.allclose(module(inputs), module.head(states(inputs).mean(1)), atol=1e-5)


@torch.no_grad()
def test_its_embedding_is_resemblyzers(tmp_path, inputs):
    module = built(tmp_path, embedding=True)
    weights = resemblyzer()
    raw = states(inputs)[:, -1] @ weights["linear.weight"].T + weights["linear.bias"]
    embedding = raw.relu() / raw.relu().norm(dim=1, keepdim=True)
    assert torch.allclose(module(inputs), module.head(embedding), atol=1e-5)


@pytest.mark.parametrize("trainable", ["head", "last:1", "last:2"])
def test_its_layers_can_be_frozen(trainable):
    settings = SpeechLstm.Settings(name="speech-lstm", trainable=trainable)
    module = build_network(settings, task(), seed=1).model.module
    trained = {n.rpartition(".")[0] for n, p in module.named_parameters() if p.requires_grad}
    assert trained == {"head", *["layers.2"][: trainable != "head"],
                       *["layers.1"][: trainable == "last:2"]}  # fmt: skip


@pytest.mark.parametrize(
    ("sound", "sentence"),
    [
        (None, "takes recordings, as the data sets sound and spoken-digits read them"),
        (LogMel(8000, 800, 200, 80, 40, 0.0, 4000.0, None), "leave data.rate, mels, window, hop"),
    ],
)
def test_other_series_are_refused(sound, sentence):
    with pytest.raises(FedlabError, match=sentence):
        SpeechLstm(SpeechLstm.Settings(name="speech-lstm"), task(sound))
