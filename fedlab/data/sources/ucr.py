"""Time series of the UCR/UEA archive, and a user's own ``.ts`` files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from pydantic import Field

from fedlab import assets
from fedlab.data.dataset import Dataset, DataSettings, Encoding, Examples, Task
from fedlab.data.formats.ts import LabelledSeries, read_ts
from fedlab.data.names import listed
from fedlab.data.scaling import standardise
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath


class LabelledSeriesFiles(ABC):
    """Series with classes, from a training and a test file.

    Channels are standardised by the training part's statistics; missing values become the mean, and
    shorter series are padded with it at the end.
    """

    def load(self, seed: int) -> Dataset:
        """Return float32 series (N, T, F) with classes (N,), T the longest of both parts."""
        train_path, test_path = self.files()
        train, test = (read_ts(path) for path in (train_path, test_path))
        _check_classes(train, test, train_path)
        if train.classes != test.classes or train.channels != test.channels:
            raise FedlabError(
                f"{train_path} and {test_path} differ in their classes or number of channels"
            )
        length = max(len(values) for values in train.series + test.series)
        columns = [f"channel {number}" for number in range(1, train.channels + 1)]
        inputs, scaling = standardise([_stack(part, length) for part in (train, test)], columns)
        task = Task(
            "classification",
            "series",
            (length, train.channels),
            len(train.classes),
            train.classes,
            encoding=Encoding(features=scaling),
        )
        targets = [
            torch.tensor([part.classes.index(c) for c in part.labels]) for part in (train, test)
        ]
        return Dataset(task, Examples(inputs[0], targets[0]), Examples(inputs[1], targets[1]))

    @abstractmethod
    def files(self) -> tuple[Path, Path]:
        """Return the training file and the test file."""


def _check_classes(train: LabelledSeries, test: LabelledSeries, path: Path) -> None:
    """Refuse one class, and one that is tested and of which nothing is learned.

    Raises:
        FedlabError: If so.
    """
    unknown = sorted({*test.labels} - {*train.labels})
    if unknown:
        raise FedlabError(f"{path}: {listed(unknown)} is tested and nothing of it is learned from")
    if len({*train.labels}) < 2:
        raise FedlabError(
            f"{path} holds series of one class, '{train.labels[0]}', and two or more are needed"
        )


def _stack(part: LabelledSeries, length: int) -> torch.Tensor:
    """Return the series as (N, length, F), NaN after the end of shorter ones."""
    stacked = torch.full((len(part.series), length, part.channels), float("nan"))
    for row, values in enumerate(part.series):
        stacked[row, : len(values)] = torch.from_numpy(values)
    return stacked


@datasets.register(
    "japanese-vowels",
    "basic-motions",
    "italy-power-demand",
    "arrow-head",
    "gun-point",
    "osu-leaf",
)
class UcrArchive(LabelledSeriesFiles):
    """A time-series classification set of the UCR/UEA archive, with its own test part."""

    class Settings(DataSettings):
        """This data set has no keys of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def files(self) -> tuple[Path, Path]:
        """Return the archive's two files, fetched if missing."""
        folder = assets.ensure(self.settings.name)
        train, test = sorted(
            (folder / file.path for file in assets.find(self.settings.name).files),
            key=lambda path: path.stem.endswith("_TEST"),
        )
        return train, test


@datasets.register("ts-files")
class TsFiles(LabelledSeriesFiles):
    """Your own time series with classes, in two .ts files of the UCR/UEA archive's format."""

    class Settings(DataSettings):
        """Keys of the ts-files data set."""

        name: str = "ts-files"
        train: FilePath = Field(description="path of the training file")
        test: FilePath = Field(description="path of the test file")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def files(self) -> tuple[Path, Path]:
        """Return the two files named in the settings."""
        return _file(self.settings.train, "train"), _file(self.settings.test, "test")


def _file(name: str, key: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise FedlabError(f"data.{key}: there is no file {path}")
    return path
