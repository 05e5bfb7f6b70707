"""fastText against the mean of Joulin et al. 2017, section 2, computed token by token."""

from __future__ import annotations

import pytest
import torch

from fedlab.data.dataset import Encoding, Task
from fedlab.models.network import build_network
from fedlab.registry import models

FACTOR, PRIME = 1_000_003, 2**31 - 1


def made(unit: str = "words", **keys: object) -> torch.nn.Module:
    encoding = Encoding(tuple(map(str, range(9))), unit)  # type: ignore[arg-type]
    task = Task("classification", "text", (6,), 3, vocabulary=9, input_padding=0, encoding=encoding)
    settings = models.get("fasttext").Settings(name="fasttext", width=5, buckets=7, **keys)
    return build_network(settings, task, 0).model.module.eval()


@pytest.mark.parametrize(("unit", "longest"), [("words", 2), ("characters", 4)])
def test_outputs_are_of_the_mean_over_tokens_and_their_n_grams(unit: str, longest: int) -> None:
    model = made(unit)
    text = [3, 1, 4, 1, 5]
    vectors = [model.embedding.weight[token] for token in text]
    for length in range(2, longest + 1):
        for start in range(len(text) - length + 1):
            hashed = text[start]
            for token in text[start + 1 : start + length]:
                hashed = (hashed * FACTOR + token) % PRIME
            vectors.append(model.grams.weight[hashed % 7])
    wanted = model.head(torch.stack(vectors).mean(0))
    torch.testing.assert_close(model(torch.tensor([[*text, 0]]))[0], wanted)


def test_padding_changes_nothing() -> None:
    model = made()
    short, long = torch.tensor([[3, 1, 4]]), torch.tensor([[3, 1, 4, 0, 0, 0]])
    torch.testing.assert_close(model(short), model(long))


def test_without_n_grams_it_is_a_bag_of_tokens() -> None:
    model = made(ngrams=1)
    first, second = torch.tensor([[3, 1, 4, 0]]), torch.tensor([[1, 4, 3, 0]])
    torch.testing.assert_close(model(first), model(second))
    assert model.grams is None
