"""What a data source returns: contiguous tensors and the task that they pose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from fedlab.data.log_mel import LogMel
from fedlab.data.table_encoding import TableEncoding
from fedlab.data.task_kinds import KINDS, ONE_SCORE, Conventions
from fedlab.settings import Settings

Modality = Literal["image", "text", "series", "tabular"]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scaling:
    """How raw numbers became the stored ones: stored = (raw − offset) / scale, column by column."""

    columns: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class Encoding:
    """How raw text or numbers became the stored ones, so that new inputs can be encoded alike.

    Attributes:
        tokens: The input tokens by number, for text; () for other inputs.
        unit: What a token of text is.
        unknown: The token that stands for what is not among ``tokens``.
        tokenizer: A Hugging Face tokeniser as JSON, which then encodes text in place of ``tokens``.
        by_line: Whether each line of a file of text is an input of its own.
        features: Scaling of the input's last dimension, for tables and series that are scaled.
        targets: Scaling of a regression's targets, where they are scaled.
        table: How the columns of a user's table became features, in place of ``features``.
        sound: How a recording became a series, before that was scaled; None for other inputs.
    """

    tokens: tuple[str, ...] = ()
    unit: Literal["characters", "words"] = "characters"
    unknown: int = 0
    features: Scaling | None = None
    targets: Scaling | None = None
    table: TableEncoding | None = None
    tokenizer: str = ""
    sound: LogMel | None = None
    by_line: bool = False


@dataclass(frozen=True)
class Projection:
    """What stands in the place of a model's last layer in self-supervised learning.

    Attributes:
        sizes: Of the layers of the projection g, from its first to its outputs.
        prediction: Of the hidden layers of the predictor q, whose outputs have the size of the
            projection's; () where there is no predictor.
        normalises_outputs: Whether the projection's outputs are normalised over the batch, too.
    """

    sizes: tuple[int, ...]
    prediction: tuple[int, ...] = ()
    normalises_outputs: bool = False

    @property
    def outputs(self) -> int:
        """Return how many numbers come of an input: g's and, beside them, q's."""
        return self.sizes[-1] * (2 if self.prediction else 1)


@dataclass(frozen=True)
class Masking:
    """Which part of a picture is hidden, to be told from the rest.

    Attributes:
        patch_size: Side of a square patch in pixels.
        share: Of the patches that are hidden.
    """

    patch_size: int
    share: float


@dataclass(frozen=True)
class Task:
    """What is to be learned.

    Attributes:
        kind: "classification" (targets: (N,) class), "next-token" (targets: (N,) or (N, T) token),
            "tagging" (targets: (N, T) class), "sequence-to-sequence" (inputs: source tokens and the
            decoder's input tokens side by side, (N, source_length + T); targets: (N, T) token),
            "regression" (targets: (N, outputs) float; forecasting is regression on a series),
            "reconstruction" (the targets are the inputs; those that are stored are not looked at),
            "self-supervised" (two views of an input belong together; no targets are looked at),
            "masked-patches" (the patches of a picture that were hidden; likewise).
            Any other kind says its own criterion and metrics.
        modality: What the inputs are; it decides how they are prepared for a model.
        input_shape: Shape of one input: (C, H, W), (T,) tokens, (T, F) series, (F,) tabular.
        outputs: Number of classes, size of the target vocabulary, number of regression targets, or
            number of values of an input that is reconstructed; 1 for two classes that the sign of
            one score separates.
        labels: Names of the classes or tokens, where they have names.
        vocabulary: Size of the input vocabulary for token inputs, else 0.
        padding: The target value that no loss and no metric counts (PyTorch's ``ignore_index``).
        source_length: Sequence-to-sequence only: how many leading input columns are the source.
        every_position: Next-token only: the targets are (N, T), one after every position, rather
            than (N,), the one token after the last position.
        input_padding: The input token that fills up short sequences, which models pass over; None
            where all sequences are full.
        encoding: How raw inputs became the stored ones; None for pictures, and where raw inputs
            are the stored ones.
        reported: Metrics that are reported, by name; () for those of its kind.
        class_counts: How many training examples all clients have of each class, where the
            scenario weighs classes by that; else ().
        projection: Self-supervised only: what stands in the place of a model's last layer.
        masking: Masked patches only: what is hidden; outputs are the values of each patch.
        criterion, metrics, draw: What the task counts as, by name, where that is not what its kind
            does (see :class:`fedlab.data.task_kinds.Conventions`).

    Raises:
        ValueError: If the kind is none that fedlab knows, and the task lacks criterion or metrics.
    """

    kind: str
    modality: Modality
    input_shape: tuple[int, ...]
    outputs: int
    labels: tuple[str, ...] = ()
    vocabulary: int = 0
    padding: int = -100
    source_length: int = 0
    every_position: bool = False
    input_padding: int | None = None
    encoding: Encoding | None = None
    reported: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()
    projection: Projection | None = None
    masking: Masking | None = None
    criterion: str = ""
    metrics: str = ""
    draw: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not (self.criterion and self.metrics):
            raise ValueError(
                f"kind: '{self.kind}' is none of {', '.join(KINDS)}; a task of another kind names "
                "its criterion and its metrics"
            )

    @property
    def conventions(self) -> Conventions:
        """Return what the task counts as: what it says itself, and else what its kind does."""
        usual = KINDS.get(self.kind, Conventions(self.criterion, self.metrics))
        if self.kind == "classification" and self.outputs == 1:
            usual = ONE_SCORE
        return Conventions(
            self.criterion or usual.criterion,
            self.metrics or usual.metrics,
            self.draw or usual.draw,
        )

    @property
    def classes(self) -> int:
        """Return the number of classes; one output separates two."""
        return max(self.outputs, 2)


@dataclass(frozen=True)
class Examples:
    """Inputs and targets, one row an example.

    Attributes:
        inputs: (N, ...) contiguous: uint8 for pictures (N, C, H, W), an integer type for tokens
            (N, T), float32 for series and tabular data. Kept small: prepared batch by batch.
        targets: (N, ...) int64 for classes and tokens, float32 for regression.
        groups: (N,) natural client of each example (writer, role, subject, site), or None.
        group_names: Name of each natural client, by number.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    groups: IntArray | None = None
    group_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: IntArray | torch.Tensor) -> Examples:
        """Return the examples of these rows, in this order (a copy)."""
        index = torch.as_tensor(rows)
        groups = None if self.groups is None else self.groups[index.cpu().numpy()]
        own = index.to(self.inputs.device)
        return Examples(self.inputs[own], self.targets[own], groups, self.group_names)

    def select(self, rows: IntArray) -> Examples:
        """Return the examples of these rows, gathered only if they are looked at."""
        return Selection(self, rows)

    def inputs_at(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the inputs of these rows, (n, ...).

        Whoever needs some at a time asks so: examples in a file (``fedlab.data.mapped``) are never
        in memory as a whole, and :attr:`inputs` would read them all.
        """
        if isinstance(rows, slice):
            return self.inputs[rows]
        return self.inputs.index_select(0, rows.to(self.inputs.device))

    def each_inputs(self, batches: Iterable[torch.Tensor | slice]) -> Iterator[torch.Tensor]:
        """Yield the inputs of one batch of rows after the other, as :meth:`inputs_at` does.

        Where they are moved, those of the next batch are on their way meanwhile.
        """
        for rows in batches:
            yield self.inputs_at(rows)

    def targets_at(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the targets of these rows, (n, ...)."""
        return self.targets[rows.to(self.targets.device)]

    def part(self, start: int, stop: int) -> Examples:
        """Return the examples of rows ``start`` to ``stop``, as nobody's in particular."""
        return Examples(self.inputs_at(slice(start, stop)), self.targets[start:stop])

    def blocks(self, rows: int) -> Iterator[torch.Tensor]:
        """Yield the inputs, so many rows at a time."""
        for start in range(0, len(self), rows):
            yield self.inputs_at(slice(start, start + rows))

    def in_memory(self) -> Examples:
        """Return these examples with all inputs in memory."""
        return self

    def with_inputs(self, inputs: torch.Tensor) -> Examples:
        """Return these examples with other inputs."""
        return Examples(inputs, self.targets, self.groups, self.group_names)

    def with_targets(self, targets: torch.Tensor) -> Examples:
        """Return these examples with other targets."""
        return Examples(self.inputs, targets, self.groups, self.group_names)

    def without_groups(self) -> Examples:
        """Return these examples as nobody's in particular."""
        return Examples(self.inputs, self.targets)

    @property
    def shared(self) -> list[torch.Tensor]:
        """Return the tensors in memory that all who look at these examples share."""
        return [self.inputs, self.targets]

    def targets_of(self, rows: IntArray) -> torch.Tensor:
        """Return the targets of these rows."""
        return self.targets_at(torch.from_numpy(rows))

    def located(self) -> tuple[Examples, torch.Tensor]:
        """Return examples in memory, and which of their rows these are."""
        return self, torch.arange(len(self))


class Selection(Examples):
    """Rows of examples that are gathered only if they are looked at."""

    def __init__(self, whole: Examples, rows: IntArray) -> None:
        self.__dict__.update(whole=whole, rows=rows)

    def __len__(self) -> int:
        return len(self.__dict__["rows"])

    @cached_property
    def _taken(self) -> Examples:
        whole: Examples = self.__dict__["whole"]
        return whole.take(self.__dict__["rows"]).in_memory()

    @property
    def inputs(self) -> torch.Tensor:
        """Return the inputs of the rows."""
        return self._taken.inputs

    @cached_property
    def _targets(self) -> torch.Tensor:
        whole: Examples = self.__dict__["whole"]
        return whole.targets_of(self.__dict__["rows"])

    @property
    def targets(self) -> torch.Tensor:
        """Return the targets of the rows."""
        return self._targets

    def inputs_at(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the inputs of these rows, gathered for this once."""
        whole: Examples = self.__dict__["whole"]
        return whole.inputs_at(self._chosen(rows))

    def each_inputs(self, batches: Iterable[torch.Tensor | slice]) -> Iterator[torch.Tensor]:
        """Yield the inputs of one batch of rows after the other, each gathered for this once."""
        whole: Examples = self.__dict__["whole"]
        return whole.each_inputs(self._chosen(rows) for rows in batches)

    def _chosen(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return which rows of the whole these are."""
        chosen = rows if isinstance(rows, slice) else rows.cpu()
        return torch.from_numpy(self.__dict__["rows"])[chosen]

    def targets_at(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the targets of these rows, gathered for this once."""
        whole: Examples = self.__dict__["whole"]
        return whole.targets_at(torch.from_numpy(self.__dict__["rows"])[rows.cpu()])

    def located(self) -> tuple[Examples, torch.Tensor]:
        """Return the examples that these are rows of, and the rows."""
        return self.__dict__["whole"], torch.from_numpy(self.__dict__["rows"])


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        task: What is to be learned.
        train: The examples that clients hold.
        test: The server's test set.
        notes: What whoever asked for the data should know of how they were read, a sentence each:
            what was left out, and why. Printed before the first round.
    """

    task: Task
    train: Examples
    test: Examples
    notes: tuple[str, ...] = field(default=(), kw_only=True)


class DataSettings(Settings):
    """Keys of ``[data]`` that every data set has. A source's own settings extend this class."""

    name: str


def without_effect(settings: DataSettings, keys: Iterable[str], reason: str) -> tuple[str, ...]:
    """Return a note for each of these keys that the scenario sets though it changes nothing.

    Args:
        settings: The data set's keys.
        keys: Those that change nothing with these data.
        reason: Why.
    """
    fields = type(settings).model_fields
    changed = (key for key in keys if getattr(settings, key) != fields[key].default)
    return tuple(f"data.{key} has no effect: {reason}" for key in changed)


class Source(Protocol):
    """A data source: a class in ``fedlab/data/sources``, registered by name.

    Its ``Settings`` extend :class:`DataSettings`. ``load`` reads the files (through
    ``fedlab.assets``, which finds or fetches them) and returns a :class:`Dataset`. It draws nothing
    at random other than through ``fedlab.seeding`` with the given seed. ``natural_clients`` is true
    where ``train.groups`` is set. The docstring's first line is what ``fedlab list data`` prints.
    """

    Settings: ClassVar[type[DataSettings]]

    def __init__(self, settings: DataSettings) -> None: ...

    def load(self, seed: int) -> Dataset:
        """Return the data set; ``seed`` decides a split where the source has none of its own."""
        ...
