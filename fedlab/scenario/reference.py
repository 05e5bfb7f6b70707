"""The reference of scenarios, written from the schema: ``python -m fedlab.scenario.reference``.

Every table, key, default and bound has one source, the settings classes; a test holds
``docs/scenarios.md`` against them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fedlab.registry import KINDS
from fedlab.scenario.problems import number
from fedlab.scenario.schema import DataKeys, EvaluationSettings, Scenario
from fedlab.settings import IsPath
from fedlab.training.names import NameIn

HEAD = """# Scenarios

A scenario is a TOML file. `fedlab check FILE` reports every mistake in it, `fedlab show FILE` every
value and where it was set. `extends = "other.toml"` (or a built-in scenario's name) builds one
scenario on another: tables are merged key by key, and a table that changes its `name` keeps the
keys that the new name knows. `--set table.key=value` overrides any key from the command line;
`--set data.augmentation=none` takes an optional key or table out (where 'none' is one of a key's
values, it is that value), and `--set updates.0.fraction=0.1` reaches into a list, whose first entry
is 0.
A number for which no bound is given lies within ±10⁹ if it is whole, and within ±10³⁸ if not; a
list has up to 10,000 entries, and a file up to a megabyte.

A relative path is looked up beside the file in which it stands, and in the current folder where it
comes from the command line; `~` is your home folder. `fedlab show`, and the `scenario.toml` of a
run folder, have it as an absolute path.

This page is written from the schema (`python -m fedlab.scenario.reference`).
"""


def reference() -> str:
    """Return the reference as Markdown."""
    return "\n".join([HEAD, *_fixed(), *_named()]) + "\n"


def _fixed() -> Iterator[str]:
    from fedlab.data.public import PublicSettings
    from fedlab.data.transforms import AugmentationSettings
    from fedlab.models.backbone import BackboneSettings
    from fedlab.models.transformers_settings import TransformersSettings
    from fedlab.training.early_stopping import EarlyStoppingSettings, RunStoppingSettings
    from fedlab.training.optimizer import OptimizerSettings, ScheduleSettings

    tables: dict[str, type[BaseModel]] = {
        "top level": Scenario,
        "[data], every data set": DataKeys,
        "[data.augmentation]": AugmentationSettings,
        "[data.public]": PublicSettings,
        "[model], any timm or torchvision model": BackboneSettings,
        "[model], any model of Hugging Face's transformers": TransformersSettings,
        "[client.optimizer]": OptimizerSettings,
        "[client.schedule]": ScheduleSettings,
        "[client.early_stopping]": EarlyStoppingSettings,
        "[evaluation]": EvaluationSettings,
        "[evaluation.early_stopping]": RunStoppingSettings,
    }
    for title, settings in tables.items():
        yield f"## {title}"
        yield from _table(settings, set())


def _named() -> Iterator[str]:
    for kind in KINDS:
        known, table = kind.registry, kind.table
        classes = {name: known.get(name).Settings for name in known.names()}
        shared = set.intersection(*(set(c.model_fields) for c in classes.values()))
        first = next(iter(classes.values()))
        yield f"## {table}\n\n{kind.about}\n"
        yield from _table(first, set(first.model_fields) - shared)
        for name, settings in classes.items():
            yield f'### {table.strip("[]")}.name = "{name}"\n\n{known.summary(name)}\n'
            yield from _table(settings, shared)


def keys(settings: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each key's name, its type with its range, its default, and what it is."""
    for name, field in settings.model_fields.items():
        yield name, _type(field), _default(field), field.description or ""


def _table(settings: type[BaseModel], left_out: set[str]) -> Iterator[str]:
    rows = [
        f"| `{name}` | {kind} | {default} | {about} |"
        for name, kind, default, about in keys(settings)
        if name not in left_out
    ]
    if rows:
        yield "\n".join(["| key | type | default | |", "| --- | --- | --- | --- |", *rows, ""])
    for name, field in settings.model_fields.items():
        inner = get_args(field.annotation)[:1]
        if get_origin(field.annotation) is tuple and isinstance(inner[0], type(BaseModel)):
            yield f"Keys of each table in `{name}`:\n"
            yield from _table(inner[0], set())


def _type(field: FieldInfo) -> str:
    named = next((part for part in field.metadata if isinstance(part, NameIn)), None)
    if named is not None:
        return ", ".join(f"`{name!r}`" for name in named.names())
    if any(isinstance(part, IsPath) for part in field.metadata):
        return "path"
    return " ".join([_words(field.annotation), *_bounds(field.metadata)])


def _bounds(metadata: Iterable[Any]) -> Iterator[str]:
    """Yield the bounds of a number, as they are written."""
    for part in metadata:
        if isinstance(part, FieldInfo):
            yield from _bounds(part.metadata)
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if hasattr(part, name):
                yield f"{sign} {number(getattr(part, name))}"


def _words(annotation: Any) -> str:
    """Return a type in words that TOML knows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    if annotation is type(None):
        return "left out"
    if origin is Literal:
        return ", ".join(f"`{_written(value)}`" for value in arguments)
    if origin is Annotated and any(isinstance(part, IsPath) for part in arguments[1:]):
        return "path"
    if origin is Annotated:
        return " ".join([_words(arguments[0]), *_bounds(arguments[1:])])
    if origin in (list, tuple):
        kinds = dict.fromkeys(_words(part) for part in arguments if part is not Ellipsis)
        return f"list of {' and '.join(kinds)}"
    if origin is Union or isinstance(annotation, UnionType):
        return " or ".join(_words(part) for part in arguments)
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return "see its table"
    if isinstance(default, tuple) and any(isinstance(part, BaseModel) for part in default):
        return f"{len(default)} tables"
    return f"`{_written(default)}`" if default is not None else "none"


def _written(value: Any) -> str:
    """Return a value as TOML has it, as far as that differs in one word."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


if __name__ == "__main__":
    print(reference(), end="")
