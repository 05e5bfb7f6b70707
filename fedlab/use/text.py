"""Encoding of text as tokens of the run's vocabulary, and decoding."""

from __future__ import annotations

from pathlib import Path

import torch

from fedlab.data.dataset import Encoding, Task
from fedlab.data.formats.text_file import read_text
from fedlab.data.names import readable, shown
from fedlab.data.tokenisers import tokeniser_of
from fedlab.data.vocabulary import Vocabulary, split_tokens
from fedlab.errors import FedlabError

FILE_SUFFIXES = (".txt", ".text", ".md", ".csv", ".json")


def text_of(argument: str) -> str:
    """Return the content of the file that ``argument`` names, or ``argument`` itself as text.

    Raises:
        FedlabError: If it looks like a file name and no such file exists, or it is not text.
    """
    path = Path(argument)
    if not _is_file(path):
        if path.suffix.lower() in FILE_SUFFIXES:
            raise FedlabError(f"there is no text file {shown(path)}")
        return readable(argument)
    return read_text(path)


def encode(task: Task, argument: str) -> torch.Tensor:
    """Return the tokens of a text, or of the file that ``argument`` names, (length,) int64.

    Raises:
        FedlabError: If there is no such file, it is no text, the text is empty, or the run does not
            record how text was encoded.
    """
    which = f"the text in {shown(argument)}" if _is_file(Path(argument)) else "the text"
    return encode_text(task, text_of(argument), which)


def encode_text(task: Task, text: str, which: str) -> torch.Tensor:
    """Return the tokens of a text, (length,) int64.

    Args:
        task: The task, which records how text was encoded.
        text: The text.
        which: How messages call it.

    Raises:
        FedlabError: If it is empty, or the run does not record how text was encoded.
    """
    encoding = encoding_of(task)
    if encoding.tokenizer:
        tokens = torch.empty(0)
        if text.strip():
            tokens = tokeniser_of(encoding).encode([text], task.input_shape[0])[0]
    else:
        words = split_tokens(text, encoding.unit)
        tokens = torch.from_numpy(Vocabulary(encoding.tokens, encoding.unknown).encode(words))
    if not len(tokens):
        raise FedlabError(f"{which} is empty; give the network something to read")
    return tokens.long()


def encoding_of(task: Task) -> Encoding:
    """Return how the task's text was encoded.

    Raises:
        FedlabError: If the run does not record it.
    """
    if task.encoding is None or not (task.encoding.tokens or task.encoding.tokenizer):
        raise FedlabError(
            "this run's data set holds tokens without names, so new text cannot be encoded for it"
        )
    return task.encoding


def fit_length(task: Task, tokens: torch.Tensor) -> torch.Tensor:
    """Return the first tokens, (T,), padded at the end if there are fewer.

    Raises:
        FedlabError: If there are fewer, and the task has no padding token.
    """
    length = task.input_shape[0]
    missing = length - len(tokens)
    if missing <= 0:
        return tokens[:length]
    if task.input_padding is None:
        raise FedlabError(
            f"a text of {len(tokens)} tokens is too short: the network reads {length} at a time"
        )
    return torch.cat([tokens, torch.full((missing,), task.input_padding)])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # A long text is not a valid file name.
        return False
