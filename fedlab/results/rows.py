"""The lines and files of a run folder, as specified in docs/run-folder.md.

Unknown keys are ignored, so that an older fedlab can read runs of a newer one. Everything else is
checked here, once: whoever holds one of these objects can rely on types, bounds and lengths.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from fedlab.files import BEST, MODEL
from fedlab.metrics.names import metric_name

MOST = 2**53
"""No count is larger: beyond it a float no longer holds every whole number."""

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
Metrics = dict[str, Number]
Count = Annotated[int, Field(ge=0, le=MOST)]
RoundNumber = Annotated[int, Field(ge=0, le=1_000_000_000)]
Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Status = Literal["finished", "stopped", "failed", "unfinished"]
INTERRUPTED, PRUNED = "interrupted", "pruned"
"""Reasons of a run that was stopped from outside, where early stopping is an end of its own."""


def came_to_its_end(status: str, reason: str) -> bool:
    """Return whether all rounds were run, or as many as early stopping asked for."""
    stopped_itself = status == "stopped" and reason not in (INTERRUPTED, PRUNED)
    return status == "finished" or stopped_itself


class Row(BaseModel):
    """A line or file of a run folder."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


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

    round: RoundNumber
    weights: str = ""
    chain: str = ""
    test: Metrics = {}
    sites: dict[str, Metrics] = {}
    train: dict[str, Spread] = {}
    clients: dict[str, Spread] = {}
    validation: Metrics = {}
    unseen: dict[str, dict[str, Spread]] = {}
    cohort: Count = 0
    replies: Count = 0
    failures: Count = 0
    dropped: Count = 0
    bytes_down: Count = 0
    bytes_up: Count = 0
    bytes_saved: Count = 0
    bytes_down_saved: Count = 0
    seconds: dict[str, Seconds] = {}

    def value(self, metric: str) -> float:
        """Return a metric on the server's test set, NaN if it was not measured."""
        return self.test.get(metric, math.nan)


class ClientRow(Row):
    """A line of ``clients.jsonl``; further keys are metrics."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]

    round: RoundNumber
    client: Count
    phase: str
    examples: Count = 0

    @property
    def values(self) -> dict[str, float]:
        """Return all that the client reported, by name."""
        return dict(self.__pydantic_extra__)

    def value(self, metric: str) -> float | None:
        """Return a metric that the client reported, or None where it did not."""
        found = self.__pydantic_extra__.get(metric)
        return None if found is None or math.isnan(found) else found


class FailureRow(Row):
    """A line of ``failures.jsonl``."""

    round: RoundNumber
    client: Count
    phase: str
    reason: str
    traceback: str | None = ""


class BaselineRow(Row):
    """A line of ``baselines.jsonl``."""

    # It names a folder of event files, so that it may not be a path.
    baseline: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    round: RoundNumber | None = None
    client: Count | None = None
    examples: Count | None = None
    test: Metrics
    sites: dict[str, Metrics] = {}
    own: Metrics = {}


class Confusion(Row):
    """``confusion.json``: rows are true classes, columns predicted ones."""

    labels: list[str]
    matrix: list[list[Count]]

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        rows = len(self.matrix)
        for number, row in enumerate(self.matrix):
            if len(row) != rows:
                raise ValueError(f"matrix.{number}: {len(row)} numbers in a matrix of {rows} rows")
        if len(self.labels) != rows:
            raise ValueError(f"labels: {len(self.labels)} names for {rows} classes")
        return self


class CrossSite(Row):
    """``cross-site.json``: every client's model on every client's own part.

    Attributes:
        round: After which round of training.
        metric: What was measured.
        clients: Which clients.
        whole: What the model that all were sent reaches on each client's part; None: it has none.
        matrix: What each client's model (a row) reaches on each client's part (a column).
    """

    round: RoundNumber
    metric: str
    clients: list[Count]
    whole: list[float | None]
    matrix: list[list[float | None]]

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        count = len(self.clients)
        if len(self.whole) != count or [len(row) for row in self.matrix] != [count] * count:
            raise ValueError(f"matrix: not {count} rows of {count} numbers, one for each client")
        return self


class Described(Row):
    """Which clients of a large population ``partition.json`` describes."""

    clients: Count
    every: Count


class PartitionFile(Row):
    """``partition.json``: who holds what."""

    partitioner: str = ""
    clients: Count
    sizes: list[Count] = Field(min_length=1)
    described: Described | None = None
    names: list[str] = []
    labels: list[str] = []
    counts: list[list[Count]] | None = None
    skew: Metrics = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        clients = len(self.sizes)
        if self.names and len(self.names) != clients:
            raise ValueError(f"names: {len(self.names)} of them for {clients} sizes")
        if self.counts is None:
            return self
        if len(self.counts) != clients:
            raise ValueError(f"counts: {len(self.counts)} rows for {clients} sizes")
        classes = len(self.labels) or len(self.counts[0])
        for number, row in enumerate(self.counts):
            if len(row) != classes or not row:
                raise ValueError(f"counts.{number}: {len(row)} numbers for {classes} classes")
        return self


class BestRound(Row):
    """The round whose weights are in ``best.safetensors``."""

    round: RoundNumber
    metric: str
    value: Number
    test: Metrics = {}
    restored: bool = False

    @property
    def sentence(self) -> str:
        """Return a description in one line."""
        metric = metric_name(self.metric)
        also = f", and {MODEL} has them, too" if self.restored else ""
        return (
            f"Round {self.round} was best on the clients' validation parts "
            f"({metric.label} {metric.text(self.value)}): its weights are in {BEST}{also}"
        )


class Summary(Row):
    """``summary.json``."""

    status: Status
    reason: str = ""
    rounds: RoundNumber
    seconds: Seconds = 0.0
    parameters: dict[str, Count] = {}
    clients: Metrics = {}
    unseen: dict[str, Metrics] = {}
    best_by_validation: BestRound | None = None
    weights_sha256: str = ""


class ForkFile(Row):
    """``fork.json``: the run that another goes on from.

    Attributes:
        of: The folder of the run that it shares its first rounds with.
        round: The last of them.
        changed: What is another from then on, by key.
    """

    of: str
    round: RoundNumber
    changed: dict[str, ChangedKey] = {}


class Notes(Row):
    """``notes.json``: what was said before the first round."""

    notes: list[str] = []


class Held(Row):
    """A part of the data: how many examples, where it has some, and a digest of what it holds."""

    examples: int = 0
    digest: str


class DataFile(Row):
    """``data.json``."""

    train: Held | None = None
    test: Held | None = None
    public: Held | None = None
    partition: Held | None = None
    pretrained: Held | None = None


class ChangedKey(Row):
    """A key's values before and after a change; None where it had none."""

    model_config = ConfigDict(validate_by_name=True)

    before: JsonValue = Field(None, alias="from")
    after: JsonValue = Field(None, alias="to")


class ChangesMade(Row):
    """What was changed of the scenario at once, after so many rounds."""

    round: RoundNumber
    time: str = ""
    changed: dict[str, ChangedKey]


class ChangesFile(Row):
    """``changes.json``: what was changed of the scenario while the run went on."""

    changes: list[ChangesMade] = []


class TaskOutline(Row):
    """What readers of a run need of ``task.json``."""

    kind: str = ""
    outputs: Count | None = None
    labels: list[str] = []


class NamedTable(Row):
    """A table of a scenario, of which only the name is looked at."""

    name: str = ""


class DataTable(NamedTable):
    """``[data]``."""

    client_test: float = 0.0
    partition: NamedTable = NamedTable()


class ModelTable(NamedTable):
    """``[model]``."""

    pretrained: bool | str = False


class ScenarioOutline(Row):
    """What readers of a run need of ``scenario.toml``; they import nothing that it names."""

    title: str = ""
    seed: int = Field(0, ge=0)
    rounds: RoundNumber | None = None
    data: DataTable = DataTable()
    model: ModelTable = ModelTable()
    strategy: NamedTable = NamedTable()
    client: NamedTable = NamedTable()
    engine: NamedTable = NamedTable()
    updates: list[NamedTable] = []
    downlink: list[NamedTable] = []
