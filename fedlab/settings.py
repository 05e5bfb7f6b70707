"""The base of every settings class: frozen, and unknown keys are errors.

A settings class lives beside the class that it configures, so that the scenario's schema, its
defaults, ``fedlab show`` and the reference documentation have one source. Describe every field
with ``Field(description=...)`` and bound every number with ``ge``, ``gt``, ``le``, ``lt``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

MOST = 10**9
"""The largest whole number, up or down, of a field without bounds of its own."""
LARGEST = 1e38
"""The largest other number of such a field: what single precision holds."""
LONGEST = 10_000
"""Entries of a list."""


class Settings(BaseModel):
    """Frozen settings; an unknown key is an error, and no number or list is without a bound."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _has_lists_where_lists_belong(cls, keys: Any) -> Any:
        """Turn tuples, which a scenario's lists are, into what a class of a user's own asks for."""
        if not isinstance(keys, dict):
            return keys
        fields = cls.model_fields
        return {k: _listed(v, fields[k].annotation) if k in fields else v for k, v in keys.items()}

    @field_validator("*", mode="after")
    @classmethod
    def _is_bounded(cls, value: Any, field: ValidationInfo) -> Any:
        metadata = cls.model_fields[field.field_name or ""].metadata
        if not any(hasattr(bound, "le") or hasattr(bound, "lt") for bound in metadata):
            _check_size(value)
        return value


def _listed(value: Any, annotation: Any) -> Any:
    """Return a tuple, and those in it or in a table, as the lists or sets of an annotation."""
    origin, inner = get_origin(annotation) or annotation, get_args(annotation)
    if isinstance(value, dict):
        if origin is dict and len(inner) == 2:
            return {key: _listed(part, inner[1]) for key, part in value.items()}
    elif isinstance(value, tuple):
        if origin in (list, set, frozenset):
            with suppress(TypeError):  # what no set can hold is refused by the field itself
                return origin(_listed(part, inner[0] if inner else Any) for part in value)
        if origin is tuple:
            each = inner[:1] * len(value) if inner[1:] == (...,) else inner
            return tuple(map(_listed, value, each)) if len(each) == len(value) else value
        for other in inner:
            found = _listed(value, other)
            if found is not value:
                return found
    return value


def _check_size(value: Any) -> None:
    """Raise if a number, or one in a list, is larger than anything that is meant.

    Raises:
        PydanticCustomError: If so.
    """
    if isinstance(value, tuple | list | set | frozenset):
        if len(value) > LONGEST:
            raise PydanticCustomError("too_many", "at most {most} entries", {"most": LONGEST})
        for part in value:
            _check_size(part)
    most = MOST if isinstance(value, int) else LARGEST
    if isinstance(value, int | float) and abs(value) > most:
        side = "at most" if value > 0 else "at least"
        bound = f"{most if value > 0 else -most:g}" if most == LARGEST else str(most)
        raise PydanticCustomError("too_large", "it must be {bound}", {"bound": f"{side} {bound}"})


@dataclass(frozen=True)
class IsPath:
    """Marks text that names a file or folder.

    Whatever key of whatever table holds it, a relative one is looked up beside the scenario file
    in which it stands (:mod:`fedlab.scenario.paths`), so that a settings object always holds an
    absolute path.

    Attributes:
        words: Texts that may stand in its place and are no paths.
        prefix: What stands before the path, in a text that may also be something else: with
            "transformers:" only "transformers:./folder", an absolute path, one from the home folder
            or one that leads to a folder is taken for a path, and the prefix stays.
        or_name: Whether the text may be a name instead, of what a hub has: then the same holds.
    """

    words: tuple[str, ...] = ()
    prefix: str = ""
    or_name: bool = False


FilePath = Annotated[str, Field(min_length=1), IsPath()]
"""The type of a key that names a file or folder of the user's."""


def renamed(keys: Any, names: Mapping[str, str]) -> Any:
    """Return a table with keys that older scenarios have under other names, for a validator.

    Args:
        keys: The table.
        names: The present name of each key, by the former one.
    """
    if not isinstance(keys, dict):
        return keys
    return {names[k] if k in names and names[k] not in keys else k: v for k, v in keys.items()}
