"""Keys of a table in ``[[phases]]``, and what a scenario that stands for a phase says of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny

from fedlab.settings import Settings

BatchNormMode = Literal["train", "frozen", "local"]


class PhaseSettings(Settings):
    """Keys of a table in ``[[phases]]``; what it leaves out is as in the scenario's own tables."""

    name: str = Field("", description="what displays and reports call it; default: its number")
    rounds: Annotated[int, Field(ge=1, le=10**6)] = Field(description="how many rounds it has")
    trainable: str | tuple[str, ...] | None = Field(None, description="as model.trainable")
    batch_norm: BatchNormMode | None = Field(None, description="as model.batch_norm")
    dropout: float | None = Field(None, ge=0, lt=1, description="as model.dropout")
    drop_path: float | None = Field(None, ge=0, lt=1, description="as model.drop_path")
    augmentation: bool = Field(
        True,
        description="whether [data.augmentation] applies; where it does not, the features of a "
        "frozen part can be computed once and kept",
    )
    client: SerializeAsAny[Settings] | None = Field(
        None, description="keys of [client] that are others in this phase; schedules span the phase"
    )


class EarlierPhase(Settings):
    """What an earlier phase trained."""

    trainable: str | tuple[str, ...]
    batch_norm: BatchNormMode


class PhaseSpan(Settings):
    """Which of a run's phases a scenario stands for."""

    name: str
    number: int = Field(ge=0, description="from 0")
    first: int = Field(ge=1, description="its first round")
    before: tuple[EarlierPhase, ...] = ()
