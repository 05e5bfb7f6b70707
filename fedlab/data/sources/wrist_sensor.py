"""Shoulder exercises recorded by a wrist sensor, each subject a natural client."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from fedlab import assets, seeding
from fedlab.data.dataset import Dataset, DataSettings, Encoding, Examples, IntArray, Task
from fedlab.data.scaling import standardise
from fedlab.errors import FedlabError
from fedlab.registry import datasets

# The file is a pickle: only that of the known package (seglearn 1.2.5) is loaded.
SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"


class _Recordings(NamedTuple):
    series: list[npt.NDArray[np.float64]]
    classes: IntArray
    subjects: IntArray
    channels: tuple[str, ...]
    labels: tuple[str, ...]


@datasets.register("wrist-sensor")
class WristSensor:
    """Classify 7 shoulder exercises by a wrist sensor: 6 channels, 50 Hz, 10 subjects as clients.

    Burns et al. 2018, "Shoulder Physiotherapy Exercise Recognition: Machine Learning the Inertial
    Signals from a Smartwatch".
    """

    class Settings(DataSettings):
        """Keys of the wrist-sensor data set."""

        name: str = "wrist-sensor"
        window: int = Field(100, ge=2, le=1000, description="steps of a window, 50 a second")
        stride: int = Field(100, ge=1, description="steps from one window to the next")
        test_subjects: int = Field(
            0, ge=0, description="subjects kept for the server's test set; 0 tests on all subjects"
        )
        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="last part of each recording, if all subjects train"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 windows (N, window, 6), standardised, with exercises (N,)."""
        recordings = _read(assets.ensure("wrist-sensor") / "watch_dataset.npy")
        names = tuple(f"subject {number}" for number in np.unique(recordings.subjects))
        unseen = self._unseen(len(names), seed)
        train, test = (self._cut(recordings, names, unseen, part) for part in ("train", "test"))
        inputs, scaling = standardise([train.inputs, test.inputs], recordings.channels)
        parts = [
            Examples(values, part.targets, part.groups, names)
            for values, part in zip(inputs, (train, test), strict=True)
        ]
        task = Task(
            "classification",
            "series",
            (self.settings.window, len(recordings.channels)),
            len(recordings.labels),
            recordings.labels,
            encoding=Encoding(features=scaling),
        )
        return Dataset(task, *parts)

    def _unseen(self, subjects: int, seed: int) -> set[int]:
        """Return the numbers of the subjects that are only in the test set."""
        wanted = self.settings.test_subjects
        if wanted >= subjects:
            raise FedlabError(
                f"data.test_subjects: {wanted} of {subjects} subjects leave none to train on"
            )
        generator = seeding.numpy_generator(seed, "wrist-sensor", "subjects")
        return set(generator.choice(subjects, wanted, replace=False).tolist())

    def _cut(
        self, recordings: _Recordings, names: tuple[str, ...], unseen: set[int], part: str
    ) -> Examples:
        """Return one part's windows, raw."""
        settings = self.settings
        numbers = np.unique(recordings.subjects, return_inverse=True)[1]
        windows, targets, groups = [], [], []
        rows = zip(recordings.series, recordings.classes, numbers, strict=True)
        for series, exercise, subject in rows:
            piece = self._piece(series, int(subject), unseen, part)
            for start in range(0, len(piece) - settings.window + 1, settings.stride):
                windows.append(piece[start : start + settings.window])
                targets.append(int(exercise))
                groups.append(int(subject))
        if not windows:
            raise FedlabError(
                f"data.window: no recording has {settings.window} steps in its {part} part"
            )
        return Examples(
            torch.from_numpy(np.stack(windows)), torch.tensor(targets), np.array(groups), names
        )

    def _piece(
        self, series: npt.NDArray[np.float64], subject: int, unseen: set[int], part: str
    ) -> npt.NDArray[np.float64]:
        """Return the section of a recording that belongs to a part; it may be empty."""
        if unseen:
            return series if (subject in unseen) == (part == "test") else series[:0]
        border = round(len(series) * (1 - self.settings.test_fraction))
        return series[:border] if part == "train" else series[border:]


def _read(path: Path) -> _Recordings:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise FedlabError(
            f"{path} is a pickle and not the known one (SHA-256 {digest[:16]}..., expected "
            f"{SHA256[:16]}...), so it is not loaded"
        )
    file = io.BytesIO(content)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    data = _ArraysOnly(file).load().item()
    return _Recordings(
        data["X"],
        np.asarray(data["y"], dtype=np.int64),
        np.asarray(data["subject"], dtype=np.int64),
        tuple(data["X_labels"]),
        tuple(data["y_labels"]),
    )


class _ArraysOnly(pickle.Unpickler):
    """An unpickler of arrays, lists, numbers and text, which calls nothing else."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        """Return the object that a pickle refers to, if it is part of an array."""
        if (module, name) not in self._ALLOWED:
            raise FedlabError(f"the pickle asks for {module}.{name}, which no array needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
