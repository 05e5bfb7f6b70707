"""Options of ``fedlab sweep`` as they are typed: grids, searches, keys that all settings have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedlab.errors import FedlabError, shortened
from fedlab.scenario.toml_text import parsed
from fedlab.use.sweep.values import Bare

LOG = "log"


def override_of(text: str) -> tuple[str, Bare]:
    """Return the key and value of ``--set KEY=VALUE``.

    Raises:
        FedlabError: If it is not written so.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise FedlabError(f"--set {shortened(text)}: write it as table.key=value")
    return key.strip(), Bare(value.strip())


def grid_of(text: str) -> tuple[str, list[Bare]]:
    """Return the key and values of ``--grid KEY=VALUE,VALUE``.

    Raises:
        FedlabError: If it is not written so.
    """
    key, equals, values = text.partition("=")
    if not equals or not key.strip() or not values.strip():
        raise FedlabError(f"--grid {shortened(text)}: write it as table.key=value,value")
    return key.strip(), [Bare(part.strip()) for part in split_values(values)]


def split_values(text: str) -> list[str]:
    """Return the values between the commas of a text, other than those in brackets or quotes.

    Example:
        >>> split_values('0.1,[1, 2],"a,b"')
        ['0.1', '[1, 2]', '"a,b"']
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def search_of(
    texts: Sequence[str],
    trials: int | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
) -> dict[str, Any]:
    """Return what options say of the table ``[search]``.

    Args:
        texts: ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log`` or ``KEY=VALUE|VALUE`` each.
        trials, sampler, pruner: Of the search; None: not said.

    Raises:
        FedlabError: If one is not written so.
    """
    space = dict(_drawn_from(text) for text in texts)
    said = {"trials": trials, "sampler": sampler, "pruner": pruner, "space": space or None}
    return {key: value for key, value in said.items() if value is not None}


def _drawn_from(text: str) -> tuple[str, dict[str, Any]]:
    key, equals, values = text.partition("=")
    ends, choices = values.split(":"), values.split("|")
    if equals and key.strip() and len(choices) > 1:
        return key.strip(), {"choices": tuple(_value(part) for part in choices)}
    is_range = len(ends) == 2 or (len(ends) == 3 and ends[2].strip() == LOG)
    low_high = [_value(end) for end in ends[:2]]
    if not (equals and key.strip() and is_range) or any(isinstance(v, str) for v in low_high):
        raise FedlabError(
            f"--search {shortened(text)}: write it as table.key=low:high, with :log after it to "
            "draw the logarithm, or as table.key=value|value"
        )
    return key.strip(), {"low": low_high[0], "high": low_high[1], "log": len(ends) == 3}


def _value(text: str) -> Any:
    """Return a value as TOML reads it; a bare word is text."""
    try:
        return parsed(f"value = {text.strip()}", "--search")["value"]
    except FedlabError:
        return text.strip()
