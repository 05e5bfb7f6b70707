"""Values of keys, as files and command lines write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TAKES_OUT = ("none", "false")
"""Words that take a key out where they stand for themselves, and so are written without quotes."""


class Bare(str):
    """A value of a command line, as it was typed."""

    __slots__ = ()


def as_override(key: str, value: Any) -> str:
    """Return ``key=value`` as an override is written.

    Example:
        >>> as_override("model.hidden", [64, 32])
        'model.hidden=[64, 32]'
    """
    return f"{key}={_toml(value)}"


def _toml(value: Any) -> str:
    """Return a value as TOML writes it on one line; what was typed stays as it is."""
    if isinstance(value, Bare) or (isinstance(value, str) and value.lower() in TAKES_OUT):
        return str(value)
    if isinstance(value, Mapping):
        parts = (f"{json.dumps(key)} = {_toml(part)}" for key, part in value.items())
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
