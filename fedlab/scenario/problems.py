"""What is wrong with a scenario, in sentences: where, what, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, time
from typing import Any

from pydantic import BaseModel, ValidationError

from fedlab.errors import nearest, shortened

# What belongs where pydantic found something of another type.
_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def sentences(error: ValidationError, schema: type[BaseModel], raw: Any) -> list[str]:
    """Return one sentence per problem, each beginning with the key that it is about.

    Where a key may be one of several types, the problems with each of them make one sentence.

    Args:
        error: What pydantic found.
        schema: The schema that was checked against.
        raw: The content that was checked.
    """
    found_at: dict[tuple[Any, ...], list[Any]] = {}
    found: list[Any] = error.errors()
    for problem in found:
        if not _follows_from_another(problem, found):
            found_at.setdefault(_path(problem, raw), []).append(problem)
    result: list[str] = []
    for path, problems in found_at.items():
        key = dotted(path) or "scenario"
        kinds = [kind for problem in problems if (kind := _wanted(problem))]
        if len(kinds) == len(problems) > 1 or all(p["type"] in _KINDS for p in problems):
            wanted = " or ".join(dict.fromkeys(kinds))
            result.append(f"{key}: {wanted} belongs here, not {shown(problems[0]['input'])}")
        else:
            # A number out of bounds is meant as a number, where a word would do as well.
            bounds = [problem for problem in problems if problem["type"] in _BOUNDS]
            result += [_sentence(problem, path, schema) for problem in bounds or problems]
    return result


def dotted(path: Iterable[Any]) -> str:
    """Return a key's path as TOML writes it: what is no bare key is quoted."""
    return ".".join(_written(str(part)) for part in path)


def _written(part: str) -> str:
    if _BARE.fullmatch(part):
        return shortened(part)
    return '"' + shortened(part).replace('"', '\\"') + '"'


def _path(problem: Any, raw: Any) -> tuple[Any, ...]:
    """Return the keys and numbers of entries that lead to a problem.

    Pydantic's location also has names of branches of unions and of validators, such as "int", and
    a key may be called the same: the content itself says which of them are keys.
    """
    is_missing = problem["type"] == "missing"
    location = problem["loc"][:-1] if is_missing else problem["loc"]
    path = _steps(location, raw, problem["input"])
    if path is None:
        path = tuple(part for part in location if not _is_branch(part))
    return (*path, problem["loc"][-1]) if is_missing else path


def _steps(location: tuple[Any, ...], value: Any, end: Any) -> tuple[Any, ...] | None:
    """Return the parts of a location that lead from ``value`` to the object ``end``, or None."""
    if not location:
        return () if value is end else None
    part, rest = location[0], location[1:]
    inside = _entry_of(value, part)
    if inside:
        steps = _steps(rest, inside[0], end)
        if steps is not None:
            return (part, *steps)
    return _steps(rest, value, end)


def _entry_of(value: Any, part: Any) -> tuple[Any, ...]:
    """Return what is in a table or list under a key or number, or nothing."""
    if isinstance(value, dict) and part in value:
        return (value[part],)
    if isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
        return (value[part],)
    return ()


def _follows_from_another(problem: Any, found: list[Any]) -> bool:
    """Return whether a list is only too short because its entries are wrong."""
    where = problem["loc"]
    return problem["type"] == "too_short" and any(
        other["loc"][: len(where)] == where for other in found if other is not problem
    )


def _wanted(problem: Any) -> str | None:
    """Return what belongs here, where the problem is a matter of type."""
    if problem["type"] == "literal_error":
        return str(problem["ctx"]["expected"])
    return _KINDS.get(problem["type"])


def _sentence(problem: Any, path: tuple[Any, ...], schema: type[BaseModel]) -> str:
    key, value, context = dotted(path) or "scenario", problem["input"], problem.get("ctx", {})
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = known_keys(schema, path[:-1])
        hint = nearest(str(path[-1]), known)
        return f"{key}: there is no such key.{hint or _listing(known)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "literal_error":
        hint = nearest(str(value), re.findall(r"'([^']*)'", context["expected"]))
        return f"{key}: {shown(value)} is none of {context['expected']}.{hint}"
    if kind == "value_error":
        return f"{key}: {context['error']}"
    if kind in _BOUNDS:
        side, name = _BOUNDS[kind]
        return f"{key}: it must be {side} {number(context[name])}, not {shown(value)}"
    if kind == "too_large":
        return f"{key}: {problem['msg']}, not {shown(value)}"
    if kind == "too_many":
        return f"{key}: a list has {problem['msg']}, not {len(value)}"
    if kind == "too_short":
        return f"{key}: this list needs {context['min_length']} or more, not {shown(value)}"
    return f"{key}: {_lower(problem['msg'])}, not {shown(value)}"


def _is_branch(part: Any) -> bool:
    """Return whether a part of the location names a branch of a union, not a key."""
    return isinstance(part, str) and (
        part in {"int", "float", "bool", "str", "none", "constrained-int", "constrained-str"}
        or "[" in part
        or "(" in part
    )


def known_keys(schema: Any, path: Iterable[Any]) -> list[str]:
    """Return the keys that the table at ``path`` knows; numbers in it are entries of lists."""
    return list(getattr(model_in(annotation_at(schema, path)), "model_fields", {}))


def annotation_at(schema: Any, path: Iterable[Any]) -> Any:
    """Return the type of the key at ``path``, or None where there is no such key."""
    for part in path:
        if isinstance(part, int):
            schema = entry_at(schema, part)
            continue
        field = getattr(model_in(schema), "model_fields", {}).get(part)
        if field is None:
            return None
        schema = field.annotation
    return schema


def entry_at(annotation: Any, number: int) -> Any:
    """Return what an entry of a list is, where each may be another; else the list's annotation."""
    arguments = getattr(annotation, "__args__", ())
    is_listed = number < len(arguments) and Ellipsis not in arguments
    return arguments[number] if is_listed else annotation


def model_in(annotation: Any) -> Any:
    """Return the settings class that an annotation holds, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = model_in(argument)
        if found is not None:
            return found
    return None


def _listing(known: list[str]) -> str:
    return f" Known here: {', '.join(known)}." if known else ""


def _lower(message: str) -> str:
    return message[0].lower() + message[1:]


def number(value: float) -> str:
    """Return a bound in digits."""
    return str(int(value)) if value % 1 == 0 and abs(value) < 2**63 else f"{value:g}"


def shown(value: Any) -> str:
    """Return a value as TOML would write it, more or less, in few letters."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        return "a whole number of more than 30 digits"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict | list):
        value = _cut(value)
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return shortened(text)


def _cut(value: Any, depth: int = 3) -> Any:
    """Return the beginning of a table or list, which may be deep and long, or hold long text."""
    if isinstance(value, dict):
        few = list(value.items())[:3]
        return {shortened(key): _cut(part, depth - 1) for key, part in few} if depth else "..."
    if isinstance(value, list | tuple):
        return [_cut(part, depth - 1) for part in value[:20]] if depth else "..."
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        return "..."
    return shortened(value) if isinstance(value, str) else value
