"""What a data source has returned, checked once, in one place, whoever wrote the source.

A mistake of a user's own class would show up far from it: as a traceback of torch in the middle of
a round, or as a loss that is NaN. One pass over the numbers finds it; large data take as long as
their sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fedlab.data.dataset import Dataset, Examples, Task
from fedlab.errors import FedlabError, described, is_out_of_memory, shortened

CLASSES = ("classification", "tagging", "next-token", "sequence-to-sequence")
"""The kinds of task whose targets are numbers of classes or tokens."""
_STORED = {
    "image": ("uint8, 0 to 255", "(inputs * 255).round().to(torch.uint8) makes it of 0 to 1"),
    "text": ("an integer type", "inputs.long() makes it"),
    "series": ("float32", "inputs.float() makes it"),
    "tabular": ("float32", "inputs.float() makes it"),
}


def load_checked(name: str, load: Callable[[], Any]) -> Dataset:
    """Return what a source loads, its tensors contiguous.

    Args:
        name: The source, as ``data.name`` has it.
        load: Loads it.

    Raises:
        FedlabError: If a class of somebody's own raises anything, or what comes is no data set that
            can be trained on; the message names the source and says what would be right.
    """
    try:
        found = load()
    except FedlabError:
        raise
    except (Exception, SystemExit) as error:
        if ":" not in name or is_out_of_memory(error):
            raise
        raise _wrong(name, f"its load raised {described(error)}{_line_of(error)}") from error
    return checked(name, found)


def checked(name: str, found: Any) -> Dataset:
    """Return a data set whose parts fit its task; see :func:`load_checked`."""
    if not isinstance(found, Dataset):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise _wrong(name, f"its load returns {what}; let it return Dataset(task, train, test)")
    if not isinstance(found.task, Task):
        raise _wrong(name, f"task is a {type(found.task).__name__}, not a Task")
    _check_task(name, found.task)
    for part in ("train", "test"):
        examples = getattr(found, part)
        if not isinstance(examples, Examples):
            what = "None" if examples is None else f"a {type(examples).__name__}"
            none = "; without a test set it is train.take(torch.arange(0))"
            more = none if part == "test" else ""
            raise _wrong(name, f"{part} is {what}, not Examples(inputs, targets){more}")
        # Rows that are made or gathered when they are looked at are not looked at here.
        if type(examples) is Examples:
            try:
                _check_part(found.task, examples)
            except _Wrong as wrong:
                raise _wrong(name, f"{part}.{wrong}") from None
    if not len(found.train):
        raise _wrong(name, "train has no example")
    _check_names(name, found)
    return replace(found, train=_contiguous(found.train), test=_contiguous(found.test))


def _check_task(name: str, task: Task) -> None:
    if task.modality not in _STORED:
        known = ", ".join(f"'{one}'" for one in _STORED)
        raise _wrong(name, f"task.modality: {task.modality!r} is none of {known}")
    shape = task.input_shape
    is_shape = isinstance(shape, tuple) and all(type(n) is int and n > 0 for n in shape)
    if not is_shape:
        raise _wrong(
            name,
            f"task.input_shape is {shape!r}; it is the shape of one example, such as (1, 28, 28), "
            "or (13,)",
        )
    if type(task.outputs) is not int or task.outputs < 1:
        raise _wrong(
            name, f"task.outputs is {task.outputs!r}; it is the number of classes or of targets"
        )


class _Wrong(Exception):
    """What is wrong with a part, beginning with its field."""


def _wrong(name: str, sentence: str) -> FedlabError:
    return FedlabError(f"data.name: '{shortened(name)}': {sentence}")


def _line_of(error: BaseException) -> str:
    """Return the innermost line of the user's own file that an error came through."""
    at, line = error.__traceback__, ""
    while at is not None:
        path = at.tb_frame.f_code.co_filename
        if "site-packages" not in path and "/fedlab/" not in path:
            line = f" ({path}, line {at.tb_lineno})"
        at = at.tb_next
    return line


def _check_part(task: Task, part: Examples) -> None:
    for field in ("inputs", "targets"):
        _check_tensor(field, getattr(part, field))
    if len(part.inputs) != len(part.targets):
        raise _Wrong(
            f"inputs has {len(part.inputs)} rows, and targets has {len(part.targets)}; each "
            "example has one of both"
        )
    if not len(part):
        return
    _check_inputs(task, part.inputs)
    if task.kind in CLASSES:
        _check_classes(task, part.targets)
    elif task.kind == "regression":
        _check_numbers(task, part.targets)
    _check_groups(part)


def _check_tensor(field: str, value: Any) -> None:
    if isinstance(value, np.ndarray):
        raise _Wrong(f"{field} is a NumPy array, not a tensor; torch.from_numpy({field}) makes one")
    if not isinstance(value, torch.Tensor):
        raise _Wrong(f"{field} is a {type(value).__name__}, not a tensor of one row an example")
    if value.ndim == 0:
        raise _Wrong(f"{field} is a single number, not a tensor of one row an example")
    if value.device.type != "cpu":
        raise _Wrong(f"{field} is on '{value.device}'; data stay in main memory: {field}.cpu()")


def _check_inputs(task: Task, inputs: torch.Tensor) -> None:
    kind = inputs.dtype
    is_integer = not kind.is_floating_point and not kind.is_complex and kind != torch.bool
    fits = {"image": kind == torch.uint8, "text": is_integer}
    if not fits.get(task.modality, kind == torch.float32):
        wanted, way = _STORED[task.modality]
        raise _Wrong(
            f"inputs is {_named(kind)}; of modality '{task.modality}' it is {wanted}: {way}"
        )
    shape = tuple(inputs.shape[1:])
    if task.modality != "text" and shape != tuple(task.input_shape):
        raise _Wrong(
            f"inputs holds examples of shape {shape}, and task.input_shape is "
            f"{tuple(task.input_shape)}"
        )
    if kind.is_floating_point and not bool(torch.isfinite(inputs).all()):
        row = int((~torch.isfinite(inputs)).flatten(1).any(1).nonzero()[0])
        raise _Wrong(f"inputs has NaN or infinity in row {row}; fill or leave out what is missing")
    if task.modality == "text" and task.vocabulary and inputs.numel():
        _check_range("inputs", inputs, task.vocabulary, "token", "task.vocabulary")


def _check_classes(task: Task, targets: torch.Tensor) -> None:
    if targets.dtype != torch.int64:
        raise _Wrong(
            f"targets is {_named(targets.dtype)}; of '{task.kind}' it holds numbers of classes, as "
            "int64: targets.long() makes it"
        )
    if task.kind == "classification" and targets.ndim != 1:
        raise _Wrong(
            f"targets has shape {tuple(targets.shape)}; of 'classification' it is (rows,), one "
            "class an example"
        )
    counted = targets[targets != task.padding] if task.kind != "classification" else targets
    if counted.numel():
        wanted = task.classes if task.kind == "classification" else task.outputs
        _check_range("targets", counted, wanted, "class", "task.outputs")


def _check_range(field: str, numbers: torch.Tensor, count: int, noun: str, key: str) -> None:
    least, most = int(numbers.min()), int(numbers.max())
    for number in (least, most):
        if not 0 <= number < count:
            raise _Wrong(
                f"{field} has {noun} {number}; they count from 0 to {count - 1}, as {key} says"
            )


def _check_numbers(task: Task, targets: torch.Tensor) -> None:
    if targets.dtype != torch.float32:
        raise _Wrong(
            f"targets is {_named(targets.dtype)}; of 'regression' it is float32: targets.float() "
            "makes it"
        )
    if tuple(targets.shape[1:]) != (task.outputs,):
        raise _Wrong(
            f"targets has shape {tuple(targets.shape)}; of 'regression' it is (rows, "
            f"{task.outputs}), as task.outputs says"
        )
    if not bool(torch.isfinite(targets).all()):
        raise _Wrong("targets has NaN or infinity; leave out examples without a target")


def _check_groups(part: Examples) -> None:
    groups = part.groups
    if groups is None:
        return
    if not isinstance(groups, np.ndarray) or groups.dtype.kind not in "iu":
        raise _Wrong(
            "groups is no NumPy array of whole numbers; groups_of(names) of "
            "fedlab.data.clients_by makes it, and the names"
        )
    if groups.shape != (len(part),):
        raise _Wrong(f"groups has shape {groups.shape}, and there are {len(part)} examples")
    names = part.group_names
    if names and len(part) and not 0 <= int(groups.min()) <= int(groups.max()) < len(names):
        raise _Wrong(
            f"groups has numbers from {groups.min()} to {groups.max()}, and group_names has "
            f"{len(names)} names"
        )
    if twice := _twice(names):
        raise _Wrong(f"group_names has '{shortened(twice)}' twice; a group is one client")


def _check_names(name: str, found: Dataset) -> None:
    task = found.task
    if twice := _twice(task.labels):
        raise _wrong(name, f"task.labels has '{shortened(twice)}' twice; a class has one name")
    if task.kind == "classification" and task.labels and len(task.labels) != task.classes:
        raise _wrong(
            name,
            f"task.labels has {len(task.labels)} names, and there are {task.classes} classes "
            "(task.outputs)",
        )


def _twice(names: Any) -> str:
    seen: set[str] = set()
    for one in names:
        if one in seen:
            return str(one)
        seen.add(one)
    return ""


def _contiguous(part: Examples) -> Examples:
    if type(part) is not Examples or (part.inputs.is_contiguous() and part.targets.is_contiguous()):
        return part
    return replace(part, inputs=part.inputs.contiguous(), targets=part.targets.contiguous())


def _named(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
