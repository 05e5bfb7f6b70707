"""Keys of unlearning methods, as ``--set METHOD.key=value`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from fedlab.errors import FedlabErrors, unknown
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
    problems = [
        f"--set {name}: {unknown('unlearning method', name, classes)}"
        for name in laid
        if name not in classes
    ]
    found = {}
    for name, cls in classes.items():
        raw = laid.get(name, {})
        try:
            found[name] = cls.model_validate(raw, strict=True)
        except ValidationError as error:
            told = sentences(error, cls, raw)
            problems += [f"--set {name}.{sentence}" for sentence in told]
    if problems:
        raise FedlabErrors(problems)
    return found
