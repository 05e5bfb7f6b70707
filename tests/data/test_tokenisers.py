"""Tokenisers: rows of numbers, cut and padded, and recorded so that they can be made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlab.data.textgenrnn import textgenrnn_tokens
from fedlab.data.tokenisers import (
    HuggingFaceTokens,
    OwnTokens,
    known_tokens,
    tokeniser_for,
    tokeniser_of,
)
from fedlab.errors import AssetMissing, FedlabError
from tests.tiny_bert import tiny_bert, tiny_tokeniser

TEXTS = ["good team", "rain and wind and cloud", "zebra"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("models") / "bert")


def test_words_that_occur_too_seldom_are_unknown() -> None:
    tokens = OwnTokens.of(["a a b", "a c c"], "words", 10, least=2)
    assert tokens.encoding.tokens == ("<padding>", "<unknown>", "a", "c")
    assert tokens.encode(["b a c c"], 3).tolist() == [[1, 2, 3]]
    assert tokens.counts(["b a c c", ""]).tolist() == [4, 0]


def test_a_tokeniser_of_hugging_face_puts_its_special_tokens_and_pads_at_the_end(
    bert: Path,
) -> None:
    tokens = HuggingFaceTokens.of(str(bert))
    assert tokens.size == 15
    assert tokens.padding == 0
    assert tokens.counts(TEXTS).tolist() == [4, 7, 3]
    rows = tokens.encode(TEXTS, 6)
    assert rows.dtype == torch.int16
    assert rows.tolist() == [[2, 13, 7, 3, 0, 0], [2, 8, 11, 9, 11, 3], [2, 1, 3, 0, 0, 0]]


@pytest.mark.parametrize("tokens", ["characters", "words", "huggingface"])
def test_what_is_recorded_encodes_alike(bert: Path, tokens: str) -> None:
    wanted = f"huggingface:{bert}" if tokens == "huggingface" else tokens
    made = tokeniser_for(wanted, TEXTS, 100)
    again = tokeniser_of(made.encoding)
    assert torch.equal(made.encode(TEXTS, 8), again.encode(TEXTS, 8))
    np.testing.assert_array_equal(made.counts(TEXTS), again.counts(TEXTS))
    assert (again.size, again.padding) == (made.size, made.padding)


def test_textgenrnns_tokens_are_numbered_alike_whatever_the_texts(
    asset: Callable[[str], Path],
) -> None:
    asset("textgenrnn")
    known = textgenrnn_tokens()
    made = tokeniser_for("textgenrnn", TEXTS, 3, least=1000)
    assert (made.size, made.padding, made.encoding.unknown) == (465, 0, 0)
    expected = [known.index("b"), 0, known.index("a"), 0]
    assert made.encode(["b\na"], 4).tolist() == [expected]
    again = tokeniser_of(made.encoding)
    assert again.encode(["b\na"], 4).tolist() == [expected]


def test_a_folder_without_a_tokeniser_is_named(bert: Path, tmp_path: Path) -> None:
    shutil.copy(bert / "config.json", tmp_path)
    with pytest.raises(FedlabError, match=r"^data\.tokens: there is no .*tokenizer\.json"):
        HuggingFaceTokens.of(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(FedlabError, match=r"tokenizer\.json cannot be read as a tokeniser"):
        HuggingFaceTokens.of(str(tmp_path))
    with pytest.raises(FedlabError, match=r"^data\.tokens: there is no folder"):
        HuggingFaceTokens.of(str(tmp_path / "nowhere"))


def test_a_file_of_a_tokeniser_will_do(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    tiny_tokeniser(tmp_path)
    assert HuggingFaceTokens.of(str(tmp_path / "tokenizer.json")).size == 15


def test_without_the_hub_a_tokeniser_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tokenizers")
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    with pytest.raises(AssetMissing, match=r"^data\.tokens: 'no-one/none' is not on this machine"):
        HuggingFaceTokens.of("no-one/none")


@pytest.mark.parametrize("word", ["letters", "huggingface:", "word"])
def test_other_tokens_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match=f"'{word}' is none of 'characters'"):
        known_tokens(word)
