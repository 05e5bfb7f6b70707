"""The base of every settings class: frozen, and unknown keys are errors.

A settings class lives beside the class that it configures, so that the scenario's schema, its
defaults, ``fedlab show`` and the reference documentation have one source. Describe every field
with ``Field(description=...)`` and bound every number with ``ge``, ``gt``, ``le``, ``lt``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Frozen settings; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class IsPath:
    """Marks text that names a file or folder.

    Whatever key of whatever table holds it, a relative one is looked up beside the scenario file
    in which it stands (:mod:`fedlab.scenario.paths`), so that a settings object always holds an
    absolute path.

    Attributes:
        words: Texts that may stand in its place and are no paths.
    """

    words: tuple[str, ...] = ()


FilePath = Annotated[str, Field(min_length=1), IsPath()]
"""The type of a key that names a file or folder of the user's."""
