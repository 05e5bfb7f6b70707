"""The characters that the pretrained network textgenrnn knows, read from its asset."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from fedlab import assets
from fedlab.errors import FedlabError

ASSET = "textgenrnn"
_FILE = "textgenrnn_vocab.json"


def textgenrnn_tokens() -> tuple[str, ...]:
    """Return the 465 characters by number; 0 is for padding and for what is unknown.

    The line break is not among them: put spaces for line breaks, else they turn into padding.

    Raises:
        AssetMissing: If the asset is not on this machine and cannot be fetched.
        FedlabError: If its file is not such a vocabulary.
    """
    return read_tokens(assets.ensure(ASSET) / _FILE)


def read_tokens(path: Path) -> tuple[str, ...]:
    """Return the characters of a vocabulary like textgenrnn's by number.

    Raises:
        FedlabError: If the file is not such a vocabulary.
    """
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FedlabError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise FedlabError(f"{path} is not a vocabulary in JSON: {error}") from error
    if not isinstance(numbers, dict) or not numbers or not _counts_from_one(numbers.values()):
        raise FedlabError(f"{path} is not a vocabulary that numbers its tokens from 1")
    return ("<unknown>", *sorted(numbers, key=numbers.__getitem__))


def _counts_from_one(values: Collection[object]) -> bool:
    return sorted(values, key=str) == sorted(range(1, len(values) + 1), key=str)
