"""Predictions of a trained network for new inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from fedlab import seeding
from fedlab.data.dataset import Task
from fedlab.data.unreadable import OnError
from fedlab.errors import FedlabError
from fedlab.use.inputs import Item, class_names, in_batches, reader_of, stacked
from fedlab.use.loading import Trained
from fedlab.use.readers.text import Texts
from fedlab.use.text import encode, encoding_of, text_of

BATCH = 64


@dataclass(frozen=True)
class Ranked:
    """The most probable classes of one input with their probabilities, in descending order.

    Attributes:
        input: The file, or the text itself.
        row: The row of the file, from 1, or the rows; None for a whole file.
        classes: Names and probabilities.
    """

    input: str
    row: int | str | None
    classes: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Numbers:
    """A regression's outputs for one input: a number for each target, with the target's name.

    Attributes:
        input, row: As in :class:`Ranked`.
        values: Names and numbers, in the units of the raw targets.
    """

    input: str
    row: int | str | None
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Continuation:
    """A text, and its continuation by the network."""

    input: str
    text: str


@dataclass(frozen=True)
class Unread:
    """An input that cannot be read.

    Attributes:
        input, row: As in :class:`Ranked`.
        error: A sentence that says why.
    """

    input: str
    row: int | str | None
    error: str


Prediction = Ranked | Numbers | Continuation | Unread


@dataclass(frozen=True)
class Sampling:
    """How a text is continued.

    Attributes:
        length: Number of tokens to draw.
        temperature: Divides the scores before the softmax; 0 takes the most probable token.
        seed: Seed of the draws.
    """

    length: int = 200
    temperature: float = 0.8
    seed: int = 0


def predict(
    trained: Trained,
    arguments: Sequence[str],
    top: int = 3,
    sampling: Sampling | None = None,
    on_error: OnError = "refuse",
) -> Iterator[Prediction]:
    """Yield one prediction per input, in order; inputs are read as predictions are asked for.

    Args:
        trained: The network.
        arguments: Files, folders, texts, or "-"; what is taken depends on the kind of data (see
            ``fedlab/use/readers``).
        top: Number of classes to report.
        sampling: How a next-token network continues a text.
        on_error: What is done about an input that cannot be read: "refuse", or "skip", which
            yields an :class:`Unread`.

    Raises:
        FedlabError: If an input cannot be read, or the task is not supported.
    """
    task = trained.task
    reader = reader_of(task, trained.scenario.data)
    if task.kind == "next-token":
        assert isinstance(reader, Texts)
        drawn = sampling or Sampling()
        for argument in reader.arguments(arguments):
            yield continuation(trained, argument, drawn)
        return
    _check_served(task)
    for batch in in_batches(reader.read(arguments), BATCH):
        yield from _of_batch(trained, batch, top, on_error)


def of_stored(trained: Trained, stored: torch.Tensor, top: int = 3) -> Iterator[Prediction]:
    """Yield one prediction per stored input, which is named by its number, from 0.

    Args:
        trained: The network.
        stored: (N, ...) inputs, as the data set stores them.
        top: Number of classes to report.

    Raises:
        FedlabError: If the task is not supported.
    """
    _check_served(trained.task)
    for start in range(0, len(stored), BATCH):
        for number, outputs in enumerate(trained.outputs(stored[start : start + BATCH]), start):
            yield _prediction(trained.task, Item(str(number)), outputs, top)


def _check_served(task: Task) -> None:
    if task.kind not in ("classification", "regression"):
        raise FedlabError(f"predict does not serve {task.kind} tasks yet; evaluate and export do")


def _of_batch(
    trained: Trained, batch: list[Item], top: int, on_error: OnError
) -> Iterator[Prediction]:
    """Yield the predictions of a batch; those before an input that is refused come first."""
    read = [item for item in batch if item.stored is not None]
    outputs = iter(trained.outputs(stacked(read)) if read else ())
    for item in batch:
        if item.stored is not None:
            yield _prediction(trained.task, item, next(outputs), top)
        elif on_error == "skip":
            yield Unread(item.source, item.row, item.fault)
        else:
            raise FedlabError(f"{item.fault}; '--on-error skip' predicts the others")


def _prediction(task: Task, item: Item, outputs: torch.Tensor, top: int) -> Prediction:
    if task.kind == "classification":
        return Ranked(item.source, item.row, rank(task, outputs, top))
    targets = task.labels or ("",) * task.outputs
    numbers = raw_targets(task, outputs.unsqueeze(0))[0].tolist()
    return Numbers(item.source, item.row, tuple(zip(targets, numbers, strict=True)))


def raw_targets(task: Task, outputs: torch.Tensor) -> torch.Tensor:
    """Return a regression's outputs, (N, outputs), in the units of the raw targets."""
    scaling = task.encoding.targets if task.encoding is not None else None
    if scaling is None:
        return outputs
    return outputs.double() * torch.tensor(scaling.scale) + torch.tensor(scaling.offset)


def rank(task: Task, scores: torch.Tensor, top: int) -> tuple[tuple[str, float], ...]:
    """Return the ``top`` most probable classes with their probabilities.

    Args:
        task: The task, which names the classes.
        scores: (K,) before the softmax; a single score is that of class 1 against class 0.
        top: Number of classes.
    """
    if len(scores) == 1:
        scores = torch.cat([torch.zeros_like(scores), scores])
    found = scores.double().softmax(0).topk(min(top, len(scores)))
    labels = class_names(task)
    return tuple(
        (labels[index], probability)
        for probability, index in zip(found.values.tolist(), found.indices.tolist(), strict=True)
    )


def continuation(trained: Trained, argument: str, sampling: Sampling) -> Continuation:
    """Return the continuation of a text that the network draws, token by token."""
    task = trained.task
    encoding = encoding_of(task)
    text = text_of(argument)
    context = encode(task, argument)
    generator = seeding.torch_generator(sampling.seed, "continuation", text)
    start = len(context)
    for _ in range(sampling.length):
        window = context[-task.input_shape[0] :].unsqueeze(0)
        scores = trained.outputs(window).flatten(0, -2)[-1]
        scores[encoding.unknown] = -torch.inf
        context = torch.cat([context, _draw(scores, sampling.temperature, generator)])
    separator = " " if encoding.unit == "words" else ""
    return Continuation(text, separator.join(encoding.tokens[int(t)] for t in context[start:]))


def _draw(scores: torch.Tensor, temperature: float, generator: torch.Generator) -> torch.Tensor:
    """Return one token, (1,), drawn from the softmax of the scores (V,)."""
    if temperature == 0:
        return scores.argmax(keepdim=True)
    probabilities = (scores.double() / temperature).softmax(0)
    return torch.multinomial(probabilities, 1, generator=generator)
