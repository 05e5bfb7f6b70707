"""A trained network in a program: a torch module with its preparation, and its predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import numpy as np
import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.data.unreadable import OnError
from fedlab.errors import FedlabError, unknown
from fedlab.use.loading import Trained, load_trained
from fedlab.use.predict import Continuation, Prediction, Ranked, Unread, of_stored, predict

if TYPE_CHECKING:
    import pandas as pd

    from fedlab.data.transforms import Preparation

Inputs: TypeAlias = (
    "str | PathLike[str] | Sequence[str | PathLike[str]] | np.ndarray[Any, Any] | torch.Tensor | "
    "pd.DataFrame"
)

IN_COLUMNS = ("tabular", "series")
"""Inputs that come in the columns of a file."""


class TrainedModel(nn.Module):
    """A trained network in evaluation mode, from stored inputs to outputs.

    Attributes:
        network: The network itself, of prepared inputs.
        prepare: Turns stored inputs, such as uint8 pictures (N, C, H, W), into those of the
            network.
        task: What it was trained for.
        labels: The names of the classes or targets; empty where they have none.
    """

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.network: nn.Module = trained.network.model.module
        self.prepare: Preparation = trained.prepare
        self.task: Task = trained.task
        self.labels: tuple[str, ...] = tuple(trained.task.labels)

    def forward(self, stored: torch.Tensor) -> torch.Tensor:
        """Return the outputs for stored inputs (N, ...), before any softmax."""
        outputs: torch.Tensor = self.network(self.prepare(stored))
        return outputs


def trained_model(run: Path, best: bool) -> TrainedModel:
    """Return the network that a run trained.

    Raises:
        FedlabError: If the run did not finish, or its weights do not fit its scenario.
    """
    return TrainedModel(load_trained(run, best)).eval()


def predictions(run: Path, inputs: Inputs, top: int, best: bool, on_error: OnError) -> pd.DataFrame:
    """Return predictions, a row for each input; see :meth:`fedlab.Run.predict`."""
    import pandas as pd

    if top < 1:
        raise FedlabError(f"top: it must be at least 1, not {top}")
    if on_error not in get_args(OnError):
        raise FedlabError(f"on_error: {unknown('choice', str(on_error), get_args(OnError))}")
    trained = load_trained(run, best)
    with tempfile.TemporaryDirectory(prefix="fedlab-") as scratch:
        rows = [_row(found) for found in _predicted(trained, inputs, top, Path(scratch), on_error)]
    return pd.DataFrame(rows)


def _predicted(
    trained: Trained, inputs: Any, top: int, scratch: Path, on_error: OnError
) -> Iterator[Prediction]:
    """Yield predictions for whatever a program has."""
    if isinstance(inputs, np.ndarray | torch.Tensor):
        yield from of_stored(trained, _tensor(trained.task, inputs), top)
        return
    write: Callable[..., Any] | None = getattr(inputs, "to_csv", None)
    if write is not None:
        if trained.task.modality not in IN_COLUMNS:
            raise FedlabError(
                f"inputs: this run's network takes {trained.task.modality} inputs, and a DataFrame "
                "holds a table's columns; give files, or an array of stored inputs"
            )
        # A table of a program is read as one of a file: what is learned of columns is in words.
        file = scratch / "table.csv"
        write(file, index=False)
        for found in predict(trained, [str(file)], top, on_error=on_error):
            yield _renamed(found, "DataFrame")
        return
    yield from predict(trained, _words(inputs), top, on_error=on_error)


def _words(inputs: Any) -> list[str]:
    """Return the names of files, or texts, that a program gives.

    Raises:
        FedlabError: If it gives something else.
    """
    single = isinstance(inputs, str | PathLike) or not isinstance(inputs, Iterable)
    words = [inputs] if single else list(inputs)
    for word in words:
        if not isinstance(word, str | PathLike):
            kind = f"{type(word).__module__}.{type(word).__qualname__}".removeprefix("builtins.")
            raise FedlabError(
                "inputs: files, folders or texts belong here, a DataFrame of a table's columns, or "
                f"an array or tensor of stored inputs, not an object of {kind}"
            )
    return [str(fspath(word)) for word in words]


def _tensor(task: Task, inputs: np.ndarray[Any, Any] | torch.Tensor) -> torch.Tensor:
    stored = torch.as_tensor(inputs)
    wanted = tuple(task.input_shape)
    if tuple(stored.shape[1:]) != wanted:
        shape = ", ".join(map(str, wanted))
        raise FedlabError(
            f"inputs: this run's network takes stored inputs of shape (N, {shape}), and these have "
            f"{tuple(stored.shape)}"
        )
    if task.modality == "image" and stored.dtype != torch.uint8:
        raise FedlabError(
            f"inputs: pictures are stored as uint8, 0 to 255, and these are {stored.dtype}"
        )
    return stored


def _renamed(found: Prediction, name: str) -> Prediction:
    return type(found)(**{**vars(found), "input": name})


def _row(found: Prediction) -> dict[str, Any]:
    """Return a prediction as a row: the input, what is predicted, and how probable it is."""
    if isinstance(found, Continuation):
        return {"input": found.input, "continuation": found.text}
    row: dict[str, Any] = {"input": found.input}
    if found.row is not None:
        row["row"] = found.row
    if isinstance(found, Unread):
        return {**row, "error": found.error}
    if isinstance(found, Ranked):
        (label, probability), *others = found.classes
        row |= {"prediction": label, "probability": probability}
        for number, (other, share) in enumerate(others, 2):
            row |= {f"prediction_{number}": other, f"probability_{number}": share}
        return row
    names = [name or "prediction" for name, _ in found.values]
    return {**row, **dict(zip(names, (value for _, value in found.values), strict=True))}
