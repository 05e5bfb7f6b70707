"""From texts to rows of tokens: characters, words, or the pieces of a Hugging Face model.

tokenizers is imported where such a tokeniser is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast, get_args

import numpy as np
import torch

from fedlab.assets import hugging_face
from fedlab.data.dataset import Encoding, IntArray
from fedlab.data.textgenrnn import textgenrnn_tokens
from fedlab.data.vocabulary import Unit, Vocabulary, split_tokens
from fedlab.errors import FedlabError, one_line, shortened

HUGGING_FACE = "huggingface:"
AUTO = "auto"
TEXTGENRNN = "textgenrnn"
PADDING, UNKNOWN = "<padding>", "<unknown>"
_KEY = "data.tokens"
_BATCH = 1000
ENOUGH = 0.95
"""Of the training texts are not cut where the scenario names no length."""
MOST_WORDS, MOST_CHARACTERS = 256, 512
"""Tokens to which longer ones are cut then."""
SHORT = 64
"""Tokens of which none is cut where no training text has more."""
FEW_WORDS = 3
"""In texts of so many words, characters tell more: names, places, products."""
_PADDING_WORDS = ("[PAD]", "<pad>", "<|padding|>", "<|endoftext|>", "</s>")
"""What models call the token that fills up; the last ones end a text, and serve as well."""


class Tokeniser(Protocol):
    """Cuts texts into tokens and numbers them."""

    @property
    def size(self) -> int:
        """Return the size of the vocabulary."""
        ...

    @property
    def padding(self) -> int:
        """Return the number of the token that fills up short texts at their end."""
        ...

    @property
    def encoding(self) -> Encoding:
        """Return what has to be recorded so that new texts are encoded alike."""
        ...

    def counts(self, texts: Sequence[str]) -> IntArray:
        """Return how many tokens each text has, (N,), special tokens included."""
        ...

    def encode(self, texts: Sequence[str], length: int) -> torch.Tensor:
        """Return the texts' tokens, (N, length) int16 or int32, cut or padded at the end."""
        ...


class OwnTokens:
    """Characters or words, numbered by a vocabulary: the training part's, or a network's own.

    Args:
        unit: What a token is.
        vocabulary: The tokens' numbers; 0 is padding.
    """

    padding = 0

    def __init__(self, unit: Unit, vocabulary: Vocabulary) -> None:
        self._unit = unit
        self._vocabulary = vocabulary

    @classmethod
    def of_textgenrnn(cls) -> OwnTokens:
        """Return the characters of textgenrnn, where 0 is also what is unknown.

        Raises:
            FedlabError: If its vocabulary is not to be had.
        """
        return cls("characters", Vocabulary(textgenrnn_tokens()))

    @classmethod
    def of(cls, texts: Iterable[str], unit: Unit, size: int, least: int = 1) -> OwnTokens:
        """Return a tokeniser with the vocabulary of some texts.

        Args:
            texts: The training part.
            unit: What a token is.
            size: How many tokens the vocabulary holds at most, padding and unknown included.
            least: How often a token has to occur.
        """
        tokens = (token for text in texts for token in split_tokens(text, unit))
        return cls(unit, Vocabulary.of(tokens, size, (PADDING, UNKNOWN), least))

    @property
    def size(self) -> int:
        """Return the size of the vocabulary."""
        return len(self._vocabulary)

    @property
    def encoding(self) -> Encoding:
        """Return the vocabulary."""
        return Encoding(self._vocabulary.tokens, self._unit, self._vocabulary.unknown)

    def counts(self, texts: Sequence[str]) -> IntArray:
        """Return how many tokens each text has, (N,)."""
        return np.array([len(split_tokens(text, self._unit)) for text in texts], dtype=np.int64)

    def encode(self, texts: Sequence[str], length: int) -> torch.Tensor:
        """Return the texts' tokens, (N, length) int16."""
        rows = np.zeros((len(texts), length), dtype=np.int16)
        for row, text in enumerate(texts):
            numbers = self._vocabulary.encode(split_tokens(text, self._unit)[:length])
            rows[row, : len(numbers)] = numbers
        return torch.from_numpy(rows)


class HuggingFaceTokens:
    """The tokeniser of a Hugging Face model, with its special tokens.

    Args:
        content: The tokeniser as JSON, as ``tokenizer.json`` holds it; its padding is set.
    """

    def __init__(self, content: str) -> None:
        _check_installed()
        self._content = content
        self._padding = int(json.loads(content)["padding"]["pad_id"])

    @classmethod
    def of(cls, model: str, key: str = _KEY) -> HuggingFaceTokens:
        """Return the tokeniser of a model.

        Args:
            model: A folder, a ``tokenizer.json``, or the name of a model on the hub.
            key: The key that names it, for messages.

        Raises:
            FedlabError: If there is none, or it is not to be had.
        """
        _check_installed()
        file = Path(model).expanduser()
        if not (hugging_face.is_path(model) and file.is_file()):
            file = hugging_face.folder_of(model, key, weights=False) / hugging_face.TOKENISER
        made = _read(file, key)
        padding = _padding(made, file.parent)
        if padding is None:
            raise FedlabError(
                f"{key}: the tokeniser in {file.parent} has no token that fills up short texts; "
                "its tokenizer_config.json should name a pad_token"
            )
        made.no_truncation()
        made.enable_padding(pad_id=made.token_to_id(padding), pad_token=padding)
        return cls(made.to_str())

    @property
    def size(self) -> int:
        """Return the size of the vocabulary."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def padding(self) -> int:
        """Return the number of the padding token."""
        return self._padding

    @property
    def encoding(self) -> Encoding:
        """Return the tokeniser as JSON."""
        return Encoding(tokenizer=self._content)

    def counts(self, texts: Sequence[str]) -> IntArray:
        """Return how many tokens each text has, (N,), special tokens included."""
        return np.array([len(numbers) for numbers in self._numbers(texts)], dtype=np.int64)

    def encode(self, texts: Sequence[str], length: int) -> torch.Tensor:
        """Return the texts' tokens, (N, length); a text that is cut keeps its special tokens."""
        kind = np.int16 if self.size <= np.iinfo(np.int16).max else np.int32
        rows = np.full((len(texts), length), self.padding, dtype=kind)
        for row, numbers in enumerate(self._numbers(texts, length)):
            rows[row, : len(numbers)] = numbers
        return torch.from_numpy(rows)

    def _numbers(self, texts: Sequence[str], length: int | None = None) -> Iterable[list[int]]:
        tokenizer = self._tokenizer
        tokenizer.no_padding()
        if length is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(length)
        for start in range(0, len(texts), _BATCH):
            for found in tokenizer.encode_batch_fast(list(texts[start : start + _BATCH])):
                yield found.ids

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self._content)


def known_tokens(tokens: str) -> str:
    """Return ``data.tokens`` if it is something that there is.

    Raises:
        ValueError: If it is not.
    """
    words = (AUTO, TEXTGENRNN, *get_args(Unit))
    if tokens in words or tokens.removeprefix(HUGGING_FACE) not in ("", tokens):
        return tokens
    raise ValueError(
        f"'{shortened(tokens)}' is none of 'characters', 'words', 'textgenrnn' and "
        "'huggingface:MODEL' (a folder, or the name of a model on the hub)"
    )


def has_own_vocabulary(tokens: str) -> bool:
    """Return whether a value of ``data.tokens`` brings its vocabulary, whatever the texts."""
    return tokens == TEXTGENRNN or tokens.startswith(HUGGING_FACE)


def tokeniser_for(
    tokens: str, texts: Sequence[str], size: int, least: int | None = None
) -> Tokeniser:
    """Return the tokeniser that ``data.tokens`` asks for.

    Args:
        tokens: ``data.tokens``; "auto" takes characters where texts are a few words long.
        texts: The training part, of which a vocabulary is made.
        size: How many tokens that holds at most.
        least: How often a token has to occur there; None stands for 2 of words, 1 of characters.

    Raises:
        FedlabError: If it is not to be had.
    """
    if tokens.startswith(HUGGING_FACE):
        return HuggingFaceTokens.of(tokens.removeprefix(HUGGING_FACE))
    if tokens == TEXTGENRNN:
        return OwnTokens.of_textgenrnn()
    unit = _unit_for(texts) if tokens == AUTO else cast("Unit", tokens)
    if least is None:
        least = 2 if unit == "words" else 1
    return OwnTokens.of(texts, unit, size, least)


@dataclass(frozen=True)
class Lengths:
    """How long texts are, and to which length they are cut.

    Attributes:
        chosen: The length.
        least, median, most: Of the texts, in tokens.
        cut: Which part of them is longer than the chosen length.
    """

    chosen: int
    least: int
    median: int
    most: int
    cut: float


def lengths_for(tokeniser: Tokeniser, texts: Sequence[str], asked: int | None) -> Lengths:
    """Return how long texts are, and the length to cut them to: what is asked for, or fits most.

    Args:
        tokeniser: What counts the tokens.
        texts: The training part.
        asked: ``data.length``.
    """
    counts = np.maximum(tokeniser.counts(texts), 1)
    most = MOST_CHARACTERS if _counts_characters(tokeniser) else MOST_WORDS
    fitting = int(np.quantile(counts, ENOUGH, method="inverted_cdf"))
    if counts.max() <= SHORT:
        fitting = int(counts.max())
    chosen = min(fitting, most) if asked is None else asked
    least, median, longest = int(counts.min()), int(np.median(counts)), int(counts.max())
    return Lengths(chosen, least, median, longest, float((counts > chosen).mean()))


def unit_of(tokeniser: Tokeniser) -> str:
    """Return what a tokeniser's tokens are, in the plural."""
    encoding = tokeniser.encoding
    return "word pieces" if encoding.tokenizer else encoding.unit


def _counts_characters(tokeniser: Tokeniser) -> bool:
    return unit_of(tokeniser) == "characters"


def _unit_for(texts: Sequence[str]) -> Unit:
    words = [len(text.split()) for text in texts]
    return "words" if words and float(np.median(words)) > FEW_WORDS else "characters"


def tokeniser_of(encoding: Encoding) -> Tokeniser:
    """Return the tokeniser that a task's encoding records."""
    if encoding.tokenizer:
        return _recorded(encoding.tokenizer)
    return OwnTokens(encoding.unit, Vocabulary(encoding.tokens, encoding.unknown))


@lru_cache(maxsize=2)
def _recorded(content: str) -> HuggingFaceTokens:
    return HuggingFaceTokens(content)


def _check_installed() -> None:
    if find_spec("tokenizers") is None:
        raise FedlabError(
            f"{_KEY}: tokenisers of Hugging Face need the package tokenizers: pip install "
            "'fedlab-sim[huggingface]'"
        )


def _read(file: Path, key: str) -> Any:
    from tokenizers import Tokenizer

    if not file.is_file():
        slow = sorted(path.name for path in file.parent.glob("*vocab*"))
        older = (
            f" ({slow[0]} alone is of a tokeniser that transformers can convert)" if slow else ""
        )
        raise FedlabError(
            f"{key}: there is no {file}, which holds a tokeniser{older}; save it with "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises Exception itself
        reason = one_line(str(error), 160)
        raise FedlabError(f"{key}: {file} cannot be read as a tokeniser ({reason})") from error


def _padding(tokenizer: Any, folder: Path) -> str | None:
    """Return the token that fills up short texts: what the model's files say, or a usual one."""
    names = []
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        try:
            said = json.loads((folder / name).read_text(encoding="utf-8")).get("pad_token")
        except (OSError, ValueError, AttributeError):
            continue
        names.append(said.get("content") if isinstance(said, dict) else said)
    if tokenizer.padding:
        names.append(tokenizer.padding["pad_token"])
    known = (n for n in (*names, *_PADDING_WORDS) if isinstance(n, str) and n)
    return next((name for name in known if tokenizer.token_to_id(name) is not None), None)
