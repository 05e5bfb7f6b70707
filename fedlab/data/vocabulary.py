"""Characters or words to numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Unit = Literal["characters", "words"]
TokenArray = npt.NDArray[np.int16]

_WORD = re.compile(r"\w+|[^\w\s]")


def split_tokens(text: str, unit: Unit) -> list[str]:
    """Return the characters of a text, or its words and punctuation marks in lower case."""
    return list(text) if unit == "characters" else _WORD.findall(text.lower())


class Vocabulary:
    """Numbers for tokens; token k of ``tokens`` has number k.

    Args:
        tokens: All tokens, those for padding and for what is unknown included.
        unknown: The number of a token that is not among them.
    """

    def __init__(self, tokens: Sequence[str], unknown: int = 0) -> None:
        if len(tokens) > np.iinfo(np.int16).max:
            raise ValueError("a vocabulary holds at most 32,767 tokens")
        self.tokens = tuple(tokens)
        self.unknown = unknown
        self._numbers = {token: number for number, token in enumerate(tokens)}

    @classmethod
    def of(
        cls,
        tokens: Iterable[str],
        size: int | None = None,
        special: Sequence[str] = (),
        least: int = 1,
    ) -> Vocabulary:
        """Return the vocabulary of the most frequent tokens (ties: alphabetically).

        Args:
            tokens: All tokens of the training text.
            size: Size of the vocabulary at most, the special tokens included.
            special: Tokens with the first numbers, the last of them for what is unknown.
            least: How often a token has to occur.
        """
        counts = Counter(tokens)
        frequent = (token for token, count in counts.items() if count >= least)
        ranked = sorted(frequent, key=lambda token: (-counts[token], token))
        room = None if size is None else max(0, size - len(special))
        return cls([*special, *ranked[:room]], max(0, len(special) - 1))

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> TokenArray:
        """Return the tokens' numbers, (T,)."""
        get, unknown = self._numbers.get, self.unknown
        return np.array([get(token, unknown) for token in tokens], dtype=np.int16)
