"""Which columns of a data set of Hugging Face are inputs, targets and clients."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from fedlab.data.names import class_name, listed
from fedlab.data.texts.tables import LABEL_NAMES, TEXT_NAMES
from fedlab.errors import FedlabError, unknown

LABELS = (*LABEL_NAMES, "labels", "fine_label", "coarse_label")
_ROWS_LOOKED_AT = 200
_A_TEXT = 15
"""Letters that fields have on average in a column that is taken for texts by their length."""


@dataclass(frozen=True)
class Columns:
    """The columns that are used.

    Attributes:
        kind: What the inputs are.
        inputs: One column of pictures or texts, or several of numbers.
        label: What is predicted.
        classes: Names of the classes, where the data set has them; else ().
        client: The column that says who is a client, or None.
        notes: What was understood, where nobody said it.
    """

    kind: Literal["picture", "text", "number"]
    inputs: tuple[str, ...]
    label: str
    classes: tuple[str, ...]
    client: str | None
    notes: tuple[str, ...]

    def labels(self, split: Any) -> list[str]:
        """Return the label of each row of a split as text; nothing where there is none."""
        return _names(split, self.label)

    def clients(self, split: Any) -> list[str] | None:
        """Return whose each row of a split is, if a column says it; nothing where it does not."""
        return None if self.client is None else _names(split, self.client)

    def check(self, split: Any, name: str) -> None:
        """Check that another split has the columns that are used, and no further classes.

        Args:
            split: The split.
            name: What it is called.

        Raises:
            FedlabError: If not.
        """
        features: dict[str, Any] = dict(split.features)
        for column in (*self.inputs, self.label, *([self.client] if self.client else [])):
            if column not in features:
                raise FedlabError(
                    f"data.test_split: the split '{name}' has an "
                    f"{unknown('column', column, features)}"
                )
        for one in _classes(features[self.label]) if self.classes else ():
            if one not in self.classes:
                raise FedlabError(
                    f"data.test_split: the split '{name}' has an "
                    f"{unknown('class', one, self.classes)}"
                )


def _names(split: Any, column: str) -> list[str]:
    """Return a column of names; those of class labels by the split's own numbers."""
    classes = _classes(split.features[column])
    values = split[column]
    if classes:
        known = range(len(classes))
        return [classes[v] if v in known else "" for v in values]
    return ["" if value is None else class_name(str(value)) for value in values]


def _classes(feature: Any) -> tuple[str, ...]:
    """Return the names of a column's class labels, if it holds such."""
    return tuple(map(str, getattr(feature, "names", None) or ()))


def find_columns(split: Any, inputs: str | None, label: str | None, client: str | None) -> Columns:
    """Return which columns are used: those that are asked for, or the likeliest.

    Raises:
        FedlabError: If there is no such column, or it cannot be told which is meant.
    """
    features: dict[str, Any] = dict(split.features)
    asked = (("input_column", inputs), ("label_column", label), ("clients_by", client))
    for key, name in asked:
        if name is not None and name not in features:
            raise FedlabError(
                f"data.{key}: the data set has an {unknown('column', name, features)}"
            )
    is_said = inputs is not None and label is not None
    label = label or _label(features, {name for name in (inputs, client) if name})
    if label == inputs:
        raise FedlabError("data.input_column, data.label_column: they name one column twice")
    kind, found, left_out = _inputs(split, features, inputs, {label, *([client] if client else [])})
    classes = _classes(features[label])
    held = {"picture": "pictures are", "text": "texts are", "number": "inputs are"}[kind]
    notes = []
    if not is_said:
        notes.append(f"data: {held} in {listed(found)}, what is predicted in '{label}'")
    if left_out:
        notes.append(f"data: the columns {listed(left_out)} hold no numbers, and are left out")
    return Columns(kind, found, label, classes, client, tuple(notes))


def _label(features: dict[str, Any], others: Collection[str]) -> str:
    candidates = [name for name in features if name not in others]
    of_classes = [name for name in candidates if hasattr(features[name], "names")]
    if len(of_classes) == 1:
        return of_classes[0]
    lower = {name.lower(): name for name in reversed(of_classes or candidates)}
    named = [lower[name] for name in LABELS if name in lower]
    if named:
        return named[0]
    raise FedlabError(
        f"data.label_column: the data set has no column 'label'; say which of {listed(candidates)} "
        "holds what is predicted"
    )


def _inputs(
    split: Any, features: dict[str, Any], asked: str | None, others: Collection[str]
) -> tuple[Literal["picture", "text", "number"], tuple[str, ...], list[str]]:
    candidates = [asked] if asked else [name for name in features if name not in others]
    pictures = [name for name in candidates if type(features[name]).__name__ == "Image"]
    if pictures:
        return "picture", (pictures[0],), []
    strings = [name for name in candidates if _is_of(features[name], ("string", "large_string"))]
    lower = {name.lower(): name for name in reversed(strings)}
    named = [lower[name] for name in TEXT_NAMES if name in lower]
    long = [name for name in strings if asked or _mean_length(split, name) >= _A_TEXT]
    if named or len(long) == 1:
        return "text", ((named or long)[0],), []
    if len(long) > 1:
        raise FedlabError(
            f"data.input_column: say which of {listed(long)} holds the texts that are learned from"
        )
    numeric = ("int", "uint", "float", "double", "bool")
    numbers = [name for name in candidates if _is_of(features[name], numeric)]
    if not numbers:
        raise FedlabError(
            f"data.input_column: none of {listed(candidates)} holds pictures, texts or numbers"
        )
    return "number", tuple(numbers), [name for name in candidates if name not in numbers]


def _is_of(feature: Any, kinds: tuple[str, ...]) -> bool:
    return str(getattr(feature, "dtype", "")).startswith(kinds)


def _mean_length(split: Any, name: str) -> float:
    fields = split[:_ROWS_LOOKED_AT][name]
    return sum(len(field or "") for field in fields) / max(1, len(fields))
