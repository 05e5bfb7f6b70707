"""What tests share that damage files: how many ways they try, and where a value can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings

TRIES = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def places(value: Any, few: int, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a value, of long lists the first few."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:few])
    for key, part in inner:
        if isinstance(part, dict | list):
            yield from places(part, few, (*path, key))
        else:
            yield (*path, key)
