"""The lines and files of a run folder, as specified in docs/run-folder.md.

Unknown keys are ignored, so that an older fedlab can read runs of a newer one.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
Metrics = dict[str, Number]
Status = Literal["finished", "stopped", "failed", "unfinished"]


class Row(BaseModel):
    """A line or file of a run folder."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Spread(Row):
    """Statistics of one metric over the cohort's clients."""

    mean: Number
    std: Number
    worst_decile: Number
    min: Number
    max: Number
    jain_index: Number = math.nan
    gini: Number = math.nan


class RoundRow(Row):
    """A line of ``metrics.jsonl``."""

    round: int
    test: Metrics = {}
    train: dict[str, Spread] = {}
    clients: dict[str, Spread] = {}
    cohort: int = 0
    replies: int = 0
    failures: int = 0
    dropped: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    bytes_saved: int = 0
    seconds: dict[str, float] = {}

    def value(self, metric: str) -> float:
        """Return a metric on the server's test set, NaN if it was not measured."""
        return self.test.get(metric, math.nan)


class FailureRow(Row):
    """A line of ``failures.jsonl``."""

    round: int
    client: int
    phase: str
    reason: str
    traceback: str | None = ""


class BaselineRow(Row):
    """A line of ``baselines.jsonl``."""

    baseline: str
    round: int | None = None
    client: int | None = None
    examples: int | None = None
    test: Metrics
    own: Metrics = {}


class Confusion(Row):
    """``confusion.json``: rows are true classes, columns predicted ones."""

    labels: list[str]
    matrix: list[list[int]]


class Summary(Row):
    """``summary.json``."""

    status: Status
    reason: str = ""
    rounds: int = Field(ge=0)
    seconds: float = 0.0
    parameters: dict[str, int] = {}
    clients: Metrics = {}
    weights_sha256: str = ""
