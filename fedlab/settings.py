"""The base of every settings class: frozen, and unknown keys are errors.

A settings class lives beside the class that it configures, so that the scenario's schema, its
defaults, ``fedlab show`` and the reference documentation have one source. Describe every field
with ``Field(description=...)`` and bound every number with ``ge``, ``gt``, ``le``, ``lt``.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen settings; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
