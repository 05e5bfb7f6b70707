from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedlab.assets import WEIGHTS_FILE
from fedlab.data.dataset import Encoding, Task
from fedlab.data.textgenrnn import textgenrnn_tokens
from fedlab.errors import FedlabError
from fedlab.models.zoo.textgenrnn import TextGenRNN
from fedlab.registry import models

LENGTH = 40
TASK = Task("next-token", "text", (LENGTH,), outputs=465, vocabulary=465)
SETTINGS = TextGenRNN.Settings(name="textgenrnn")


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_it_is_registered_and_has_the_published_size() -> None:
    assert models.get("textgenrnn") is TextGenRNN
    model = TextGenRNN(SETTINGS, TASK)
    embedding, attention, head = 465 * 100, 356, 356 * 465 + 465
    layers = [4 * 128 * (inputs + 128 + 2) for inputs in (100, 128)]
    expected = embedding + sum(layers) + attention + head
    assert sum(p.numel() for p in model.parameters()) == expected


def test_attention_is_the_softmax_weighted_average() -> None:
    model = TextGenRNN(SETTINGS, TASK).eval()
    tokens = torch.randint(0, 465, (3, LENGTH))
    with torch.no_grad():
        embedded = model.embedding(tokens)
        first = model.rnn_1(embedded)[0]
        features = torch.cat([embedded, first, model.rnn_2(first)[0]], dim=-1)
        expected = torch.zeros(3, 356)
        for row in range(3):
            raised = torch.exp(features[row] @ model.attention.weight[0])
            for weight, feature in zip(raised / raised.sum(), features[row], strict=True):
                expected[row] += weight * feature
        torch.testing.assert_close(model(tokens), model.head(expected), atol=1e-5, rtol=1e-4)


def test_each_positions_output_is_the_networks_on_that_prefix() -> None:
    last = TextGenRNN(SETTINGS, TASK).eval()
    every = TextGenRNN(SETTINGS, replace(TASK, every_position=True)).eval()
    every.load_state_dict(last.state_dict())
    tokens = torch.randint(0, 465, (2, 9))
    with torch.no_grad():
        outputs = every(tokens)
        assert outputs.shape == (2, 9, 465)
        for length in range(1, 10):
            prefix = last(tokens[:, :length])
            torch.testing.assert_close(outputs[:, length - 1], prefix, atol=1e-5, rtol=1e-4)


def test_padding_at_the_end_counts_as_padding_at_the_beginning() -> None:
    text = Task("classification", "text", (6,), outputs=3, vocabulary=465, input_padding=0)
    padded = TextGenRNN(SETTINGS, text).eval()
    plain = TextGenRNN(SETTINGS, replace(text, input_padding=None)).eval()
    plain.load_state_dict(padded.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(
            padded(torch.tensor([[5, 0, 7, 0, 0, 0], [1, 2, 3, 4, 5, 6]])),
            plain(torch.tensor([[0, 0, 0, 5, 0, 7], [1, 2, 3, 4, 5, 6]])),
        )


def test_pretrained_weights_are_refused_for_other_tokens_of_the_same_number(
    asset: Callable[[str], Path],
) -> None:
    asset("textgenrnn")
    settings = TextGenRNN.Settings(name="textgenrnn", pretrained="package")
    known = textgenrnn_tokens()
    TextGenRNN(settings, replace(TASK, encoding=Encoding(known)))
    other = replace(TASK, encoding=Encoding(known[:1] + known[:0:-1]))
    with pytest.raises(FedlabError, match=r"data\.tokens = 'textgenrnn'"):
        TextGenRNN(settings, other)


def test_a_task_that_is_not_text_is_refused() -> None:
    with pytest.raises(FedlabError, match=r"model\.name: 'textgenrnn' takes text"):
        TextGenRNN(SETTINGS, Task("classification", "image", (1, 8, 8), outputs=10))


def test_the_pretrained_network_knows_english(asset: Callable[[str], Path]) -> None:
    weights = load_file(asset("textgenrnn") / WEIGHTS_FILE)
    text = (asset("shakespeare") / "hamlet_gut.txt").read_text("utf-8", errors="replace")
    symbols = {symbol: number for number, symbol in enumerate(textgenrnn_tokens())}
    assert "\n" not in symbols
    line = " ".join(text[20_000:40_000].split())
    tokens = torch.tensor([symbols[letter] for letter in line])
    windows = tokens.unfold(0, LENGTH + 1, 13)
    inputs, targets = windows[:, :-1], windows[:, -1]
    pretrained = TextGenRNN(SETTINGS, TASK).eval()
    pretrained.load_state_dict(weights)
    with torch.no_grad():
        losses = [
            float(torch.nn.functional.cross_entropy(model(inputs), targets))
            for model in (TextGenRNN(SETTINGS, TASK).eval(), pretrained)
        ]
    assert losses[0] > 5.5
    assert losses[1] < 2.5
