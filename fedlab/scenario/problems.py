"""What is wrong with a scenario, in sentences: where, what, and what would be right."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from fedlab.errors import nearest


def sentences(error: ValidationError, schema: type[BaseModel]) -> list[str]:
    """Return one sentence per problem, each beginning with the key that it is about."""
    return [_sentence(problem, schema) for problem in error.errors()]


def _sentence(problem: Any, schema: type[BaseModel]) -> str:
    path = [part for part in problem["loc"] if not _is_branch(part)]
    key = ".".join(str(part) for part in path) or "scenario"
    value, context = problem["input"], problem.get("ctx", {})
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = known_keys(schema, path[:-1])
        hint = nearest(str(path[-1]), known)
        return f"{key}: there is no such key.{hint or _listing(known)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "literal_error":
        hint = nearest(str(value), str(context["expected"]).replace("'", "").split(", "))
        return f"{key}: {value!r} is none of {context['expected']}.{hint}"
    if kind == "value_error":
        return f"{key}: {context['error']}"
    return f"{key}: {_lower(problem['msg'])}, not {_short(value)}"


def _is_branch(part: Any) -> bool:
    """Return whether a part of the location names a branch of a union, not a key."""
    return isinstance(part, str) and (
        part in {"int", "float", "bool", "str", "none", "constrained-int", "constrained-str"}
        or "[" in part
        or "(" in part
    )


def known_keys(schema: Any, path: list[Any]) -> list[str]:
    """Return the keys that the table at ``path`` knows."""
    for part in path:
        field = getattr(schema, "model_fields", {}).get(part)
        if field is None:
            return []
        schema = _model(field.annotation)
    return list(getattr(schema, "model_fields", {}))


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
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
