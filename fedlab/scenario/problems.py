"""What is wrong with a scenario, in sentences: where, what, and what would be right."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from fedlab.errors import nearest

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


def sentences(error: ValidationError, schema: type[BaseModel]) -> list[str]:
    """Return one sentence per problem, each beginning with the key that it is about.

    Where a key may be one of several types, the problems with each of them make one sentence.
    """
    found_at: dict[str, list[Any]] = {}
    found: list[Any] = error.errors()
    for problem in found:
        if not _follows_from_another(problem, found):
            found_at.setdefault(_key(problem), []).append(problem)
    result: list[str] = []
    for key, problems in found_at.items():
        kinds = [kind for problem in problems if (kind := _wanted(problem))]
        if len(kinds) == len(problems) > 1 or all(p["type"] in _KINDS for p in problems):
            wanted = " or ".join(dict.fromkeys(kinds))
            result.append(f"{key}: {wanted} belongs here, not {_short(problems[0]['input'])}")
        else:
            result += [_sentence(problem, key, schema) for problem in problems]
    return result


def _key(problem: Any) -> str:
    return ".".join(str(part) for part in _path(problem)) or "scenario"


def _path(problem: Any) -> list[Any]:
    return [part for part in problem["loc"] if not _is_branch(part)]


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


def _sentence(problem: Any, key: str, schema: type[BaseModel]) -> str:
    path, value, context = _path(problem), problem["input"], problem.get("ctx", {})
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = known_keys(schema, path[:-1])
        hint = nearest(str(path[-1]), known)
        return f"{key}: there is no such key.{hint or _listing(known)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "literal_error":
        hint = nearest(str(value), re.findall(r"'([^']*)'", context["expected"]))
        return f"{key}: {value!r} is none of {context['expected']}.{hint}"
    if kind == "value_error":
        return f"{key}: {context['error']}"
    if kind in _BOUNDS:
        side, name = _BOUNDS[kind]
        return f"{key}: it must be {side} {context[name]:g}, not {_short(value)}"
    if kind == "too_short":
        return f"{key}: this list needs {context['min_length']} or more, not {_short(value)}"
    return f"{key}: {_lower(problem['msg'])}, not {_short(value)}"


def _is_branch(part: Any) -> bool:
    """Return whether a part of the location names a branch of a union, not a key."""
    return isinstance(part, str) and (
        part in {"int", "float", "bool", "str", "none", "constrained-int", "constrained-str"}
        or "[" in part
        or "(" in part
    )


def known_keys(schema: Any, path: list[Any]) -> list[str]:
    """Return the keys that the table at ``path`` knows; numbers in it are entries of lists."""
    for part in path:
        if isinstance(part, int):
            schema = _entry(schema, part)
            continue
        field = getattr(_model(schema), "model_fields", {}).get(part)
        if field is None:
            return []
        schema = field.annotation
    return list(getattr(_model(schema), "model_fields", {}))


def _entry(annotation: Any, number: int) -> Any:
    """Return what an entry of a list is, where each may be another; else the list's annotation."""
    arguments = getattr(annotation, "__args__", ())
    is_listed = number < len(arguments) and Ellipsis not in arguments
    return arguments[number] if is_listed else annotation


def _model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model(argument)
        if found is not None:
            return found
    return None


def _listing(known: list[str]) -> str:
    return f" Known here: {', '.join(known)}." if known else ""


def _lower(message: str) -> str:
    return message[0].lower() + message[1:]


def _short(value: Any) -> str:
    """Return a value as TOML would write it, more or less, in few letters."""
    if isinstance(value, tuple):
        value = list(value)
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
