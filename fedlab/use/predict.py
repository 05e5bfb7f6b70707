"""Predictions of a trained network for new inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedlab import seeding
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.use.inputs import SeriesColumns, class_names, expanded, read_inputs
from fedlab.use.loading import Trained
from fedlab.use.text import encode, encoding_of, text_of

BATCH = 64


@dataclass(frozen=True)
class Ranked:
    """The most probable classes of one input with their probabilities, in descending order."""

    input: str
    classes: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Numbers:
    """A regression's outputs for one input: a number for each target, with the target's name."""

    input: str
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Continuation:
    """A text, and its continuation by the network."""

    input: str
    text: str


Prediction = Ranked | Numbers | Continuation


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
    trained: Trained, arguments: Sequence[str], top: int = 3, sampling: Sampling | None = None
) -> list[Prediction]:
    """Return one prediction per input, in order.

    Args:
        trained: The network.
        arguments: Files, or text; see :func:`fedlab.use.inputs.read_inputs`.
        top: Number of classes to report.
        sampling: How a next-token network continues a text.

    Raises:
        FedlabError: If an input cannot be read, or the task is not supported.
    """
    task = trained.task
    if task.kind == "next-token":
        drawn = sampling or Sampling()
        return [continuation(trained, argument, drawn) for argument in expanded(task, arguments)]
    if task.kind not in ("classification", "regression"):
        raise FedlabError(f"predict does not serve {task.kind} tasks yet; evaluate and export do")
    data = trained.scenario.data
    columns = SeriesColumns(getattr(data, "time", None), getattr(data, "group", None))
    inputs = read_inputs(task, arguments, columns)
    stored = inputs.stored
    starts = range(0, len(stored), BATCH)
    outputs = torch.cat([trained.outputs(stored[start : start + BATCH]) for start in starts])
    if task.kind == "regression":
        targets = task.labels or ("",) * task.outputs
        return [
            Numbers(name, tuple(zip(targets, row, strict=True)))
            for name, row in zip(inputs.names, raw_targets(task, outputs).tolist(), strict=True)
        ]
    return [
        Ranked(name, rank(task, scores, top))
        for name, scores in zip(inputs.names, outputs, strict=True)
    ]


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
