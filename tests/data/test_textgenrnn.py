"""textgenrnn's characters have the numbers that its asset gives them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlab.data.textgenrnn import read_tokens, textgenrnn_tokens
from fedlab.errors import FedlabError


@pytest.mark.parametrize("text", ["[1]", "{}", "{", '{"a": 2}', '{"a": "x", "b": 1}'])
def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(text)
    with pytest.raises(FedlabError, match=r"vocabulary\.json is not a vocabulary"):
        read_tokens(path)


def test_tokens_have_the_numbers_of_the_asset(asset: Callable[[str], Path]) -> None:
    numbers = json.loads((asset("textgenrnn") / "textgenrnn_vocab.json").read_text("utf-8"))
    tokens = textgenrnn_tokens()
    assert len(tokens) == 465
    assert {token: tokens.index(token) for token in numbers} == numbers
