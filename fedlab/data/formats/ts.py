"""The ``.ts`` format of the UCR/UEA time-series archive.

A header of ``@key value`` lines ends with ``@data``; then a line holds one series: its channels,
each a list of numbers with commas, and the class, all separated by colons. ``?`` or ``NaN`` is a
missing value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedlab.data.formats.table import LARGEST
from fedlab.data.formats.text_file import read_text
from fedlab.errors import FedlabError

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LabelledSeries:
    """The content of a ``.ts`` file.

    Attributes:
        series: One array (T, F) a series; T may differ from one to the next.
        labels: The class of each series.
        classes: All classes, in the order of the header.
    """

    series: list[FloatArray]
    labels: list[str]
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """Return the number of channels, F."""
        return int(self.series[0].shape[1])


def read_ts(path: Path) -> LabelledSeries:
    """Return the series and classes in a ``.ts`` file; missing values are NaN.

    Raises:
        FedlabError: If the file cannot be read or breaks the format; the line is named.
    """
    lines = read_text(path).split("\n")
    header, begin = _read_header(lines, path)
    classes = _classes(header, path)
    series, labels = [], []
    for number, line in enumerate(lines[begin:], begin + 1):
        if line.strip():
            values, label = _read_series(line, f"{path}, line {number}")
            if label not in classes:
                problem = (
                    f"'{label}' is not a class of the header" if label else "there is no class"
                )
                raise FedlabError(f"{path}, line {number}: {problem}")
            series.append(values)
            labels.append(label)
    if len({array.shape[1] for array in series}) != 1:
        raise FedlabError(f"{path} holds no series, or series with different numbers of channels")
    return LabelledSeries(series, labels, classes)


def _read_header(lines: list[str], path: Path) -> tuple[dict[str, list[str]], int]:
    """Return the header's words by lower-case key, and the index of the first line of data."""
    header: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        words = line.split()
        if not words or not words[0].startswith("@"):
            continue
        key = words[0][1:].lower()
        if key == "data":
            return header, number + 1
        header[key] = words[1:]
    raise FedlabError(f"{path} is not a .ts file: it has no line '@data'")


def _classes(header: dict[str, list[str]], path: Path) -> tuple[str, ...]:
    if _first(header, "timestamps") == "true":
        raise FedlabError(f"{path} has time stamps; only evenly sampled series can be read")
    words = header.get("classlabel", [])
    if _first(header, "classlabel") != "true" or len(words) < 3:
        raise FedlabError(f"{path} names no classes in a line '@classLabel true ...'")
    classes = tuple(words[1:])
    doubled = sorted({name for name in classes if classes.count(name) > 1})
    if doubled:
        raise FedlabError(f"{path} names the class '{doubled[0]}' more than once")
    return classes


def _first(header: dict[str, list[str]], key: str) -> str:
    """Return the first word of a line of the header, in lower case; empty where there is none."""
    return next(iter(header.get(key, [])), "").lower()


def _value(word: str) -> float:
    """Return a value; NaN where it is missing.

    Raises:
        ValueError: If it is no number, or one that float32 does not hold.
    """
    try:
        number = float("nan") if word.strip() == "?" else float(word)
    except ValueError:
        missing = "; a missing value is '?'" if not word.strip() else ""
        raise ValueError(f"'{word.strip()}' is not a number{missing}") from None
    if abs(number) > LARGEST:
        raise ValueError(f"'{word.strip()}' is not a finite number of 32 bits")
    return number


def _read_series(line: str, where: str) -> tuple[FloatArray, str]:
    """Return the values (T, F) and the class of one line."""
    *channels, label = line.strip().split(":")
    if not channels:
        raise FedlabError(f"{where}: a colon stands before the class, and there is none")
    try:
        columns = [[_value(word) for word in channel.split(",")] for channel in channels]
    except ValueError as error:
        raise FedlabError(f"{where}: {error}") from error
    if len({len(column) for column in columns}) != 1:
        raise FedlabError(f"{where}: the channels have different lengths")
    return np.array(columns, dtype=np.float32).T, label.strip()
