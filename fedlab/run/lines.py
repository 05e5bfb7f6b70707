"""Append-only files of JSON lines: whole lines count, and a run goes on behind whole lines.

A process that is killed, or a disk that is full, leaves half a line behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fedlab.errors import FedlabError


def whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the content of a file's whole lines; a half-written last one is left out.

    Raises:
        FedlabError: If a whole line is no JSON object.
    """
    for _, content in _numbered(path):
        yield content


def up_to_round(path: Path, last: int) -> Iterator[bytes]:
    """Yield the whole lines, as they are, of rounds up to ``last``.

    Raises:
        FedlabError: If a whole line is no JSON object with a round.
    """
    for number, (line, content) in enumerate(_numbered(path), 1):
        found = content.get("round")
        if not isinstance(found, int):
            raise FedlabError(f"{path}, line {number}: it does not say its round")
        if found <= last:
            yield line


def readable_lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines, as they are, that hold JSON objects; damaged ones are left out.

    For a file whose missing parts are made again: what an older fedlab wrote behind half a line,
    for instance, is one line with it.
    """
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                if line.endswith(b"\n") and isinstance(json.loads(line), dict):
                    yield line


def _numbered(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                content = json.loads(line)
            except ValueError as error:
                reason = getattr(error, "msg", "it is not UTF-8 text")
                raise FedlabError(f"{path}, line {number}: this is not JSON: {reason}") from error
            if not isinstance(content, dict):
                raise FedlabError(f"{path}, line {number}: a JSON object belongs here")
            yield line, content
