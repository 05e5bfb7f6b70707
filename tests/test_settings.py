"""A settings class of a user's own may say list, set or tuple for what a scenario's list holds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, ValidationError

from fedlab.scenario.content import tuples_for_lists
from fedlab.settings import LONGEST, Settings


class Own(Settings):
    names: list[str] = Field([])
    known: set[int] = Field(set())
    maybe: list[float] | None = None
    nested: list[list[int]] = Field([])
    pairs: tuple[list[int], ...] = ()
    by_name: dict[str, list[int]] = Field({})
    plain: tuple[int, ...] = ()


def read(**keys: Any) -> Own:
    """Read a table as a scenario's is read."""
    return Own.model_validate(tuples_for_lists(keys), strict=True)


@pytest.mark.parametrize(
    ("key", "value", "held"),
    [
        ("names", ["a", "b"], ["a", "b"]),
        ("names", [], []),
        ("known", [2, 1, 2], {1, 2}),
        ("maybe", [0.5], [0.5]),
        ("nested", [[1], [2, 3]], [[1], [2, 3]]),
        ("pairs", [[1], []], ([1], [])),
        ("by_name", {"a": [1]}, {"a": [1]}),
        ("plain", [1, 2], (1, 2)),
    ],
)
def test_a_list_of_a_scenario_is_what_the_annotation_says(
    key: str, value: object, held: object
) -> None:
    assert getattr(read(**{key: value}), key) == held


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("names", [1]),
        ("names", "ab"),
        ("known", ["1"]),
        ("known", [{"a": 1}]),
        ("nested", [1]),
        ("by_name", {"a": ["1"]}),
        ("names", ["a"] * (LONGEST + 1)),
    ],
)
def test_what_is_in_it_is_checked_as_strictly_as_ever(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        read(**{key: value})
