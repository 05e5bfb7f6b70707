"""Keys of ``[model]`` for models of the transformers library: ``name = "transformers:MODEL"``."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fedlab.assets import hugging_face
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.settings import LARGEST, IsPath

PREFIX = hugging_face.TRANSFORMERS
_ABOUT_THE_FILE = frozenset(
    {"_name_or_path", "architectures", "transformers_version", "id2label", "label2id", "dtype"}
    | {"torch_dtype", "auto_map", "problem_type", "task_specific_params"}
)
"""Keys of a ``config.json`` that say nothing of the body of the model."""


class TransformersSettings(ModelSettings):
    """Settings of a model of Hugging Face's transformers, with a new head for the task.

    ``name`` is "transformers:" and a folder, a model of the hub, or a kind of model, such as
    "transformers:bert", whose sizes ``architecture`` says. ``pretrained = true`` takes the weights
    of that folder or of the hub, "package" those that a package ships.
    """

    name: Annotated[str, IsPath(prefix=PREFIX)] = Field(
        description="transformers:FOLDER, transformers:NAME of a model on the hub, or "
        "transformers:TYPE, a kind of model"
    )
    pooling: Literal["mean", "first", "last"] = Field(
        "mean",
        description="what of the last layer's states stands for a text: their mean, that of the "
        "first token ([CLS]) or that of the last, padding left out",
    )
    blocks: int | None = Field(
        None, ge=1, le=1000, description="keep only this many of the first layers"
    )
    layer_dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="dropout rate inside the layers; default: the model's own. Frozen layers have "
        "none",
    )
    architecture: dict[str, Any] | None = Field(
        None,
        description="the model's configuration, as in its config.json; it is filled in from there, "
        "so that a run folder says what was trained",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_architecture(cls, keys: Any) -> Any:
        if not isinstance(keys, dict) or keys.get("architecture") is not None:
            return keys
        name = keys.get("name")
        if not isinstance(name, str) or not name.startswith(PREFIX):
            return keys
        with suppress(FedlabError, OSError):
            folder = hugging_face.here(name.removeprefix(PREFIX))
            if folder is not None:
                return keys | {"architecture": _kept(folder)}
        return keys

    @model_validator(mode="after")
    def _has_bounded_numbers(self) -> TransformersSettings:
        for key, value in (self.architecture or {}).items():
            if isinstance(value, int | float) and not abs(value) <= LARGEST:
                raise ValueError(f"architecture.{key}: {value} is no finite number")
        return self

    @property
    def model(self) -> str:
        """Return the name without "transformers:"."""
        return self.name.removeprefix(PREFIX)


def is_transformers(name: str) -> bool:
    """Return whether ``model.name`` names a model of transformers."""
    return name.startswith(PREFIX)


def _kept(folder: Any) -> dict[str, Any]:
    found = hugging_face.configuration(folder, "model.name")
    kept = {k: v for k, v in found.items() if k not in _ABOUT_THE_FILE and v is not None}
    return {key: _tuples(value) for key, value in kept.items()}


def _tuples(value: Any) -> Any:
    """Return JSON without nulls, with tuples for lists, as a scenario holds them."""
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items() if part is not None}
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
