"""Keys of unlearning methods, as ``--set METHOD.key=value`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError, create_model

from fedlab.errors import FedlabErrors
from fedlab.scenario.overrides import overlay, without_taken
from fedlab.scenario.problems import sentences
from fedlab.settings import Settings


def settings_of(
    classes: Mapping[str, type[Settings]], overrides: Sequence[str]
) -> dict[str, Settings]:
    """Return each method's settings.

    Args:
        classes: Of the methods' settings, by name.
        overrides: ``method.key=value`` each.

    Raises:
        FedlabErrors: With every problem, a line each.
    """
    laid = overlay(overrides)
    without_taken(laid)
    fields: dict[str, Any] = {_attribute(name): (cls, cls()) for name, cls in classes.items()}
    schema = create_model("Methods", __base__=Settings, **fields)
    raw = {_attribute(name): table for name, table in laid.items()}
    try:
        found = schema.model_validate(raw, strict=True)
    except ValidationError as error:
        raise FedlabErrors(
            f"--set {sentence.replace('_', '-', sentence.split('.')[0].count('_'))}"
            for sentence in sentences(error, schema, raw)
        ) from error
    return {name: getattr(found, _attribute(name)) for name in classes}


def _attribute(name: str) -> str:
    """Return a method's name as an attribute."""
    return name.replace("-", "_")
