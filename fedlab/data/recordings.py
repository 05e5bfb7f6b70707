"""From recordings to a data set of log-mel spectrograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from fedlab import seeding
from fedlab.data.clients_by import groups_of
from fedlab.data.dataset import Dataset, DataSettings, Encoding, Examples, IntArray, Task
from fedlab.data.formats.sound import read_samples
from fedlab.data.holdout import hold_out, hold_out_by_group
from fedlab.data.log_mel import FloatArray, LogMel, loudened, shortened
from fedlab.data.names import class_name, listed
from fedlab.data.scaling import standardise
from fedlab.data.sound_files import Named, Recordings
from fedlab.data.unreadable import OnError, on_error_field, settle
from fedlab.errors import FedlabError

LONGEST = 10.0
"""Seconds that recordings are cut to where the scenario says nothing."""
_MOST, _STEP = 0.95, 0.1


class SoundSettings(DataSettings):
    """Keys of ``[data]`` that decide how recordings are read; every data set of sound has them."""

    rate: int = Field(
        16_000, ge=1000, le=192_000, description="samples a second; others are resampled"
    )
    seconds: float | None = Field(
        None,
        gt=0,
        le=600,
        description="length that recordings are cut to, around their middle, or padded to with "
        "silence; default: what 95 % of those to learn from do not exceed, 10 at most",
    )
    mels: int = Field(40, ge=4, le=256, description="bands of the spectrogram")
    window: float = Field(25.0, ge=2, le=500, description="milliseconds of a window")
    hop: float = Field(10.0, ge=1, le=500, description="milliseconds from a window to the next")
    lowest: float = Field(0.0, ge=0, le=96_000, description="frequency in hertz of the first band")
    highest: float | None = Field(
        None, gt=0, le=96_000, description="and where the last one ends; default: half the rate"
    )
    volume: float | None = Field(
        -30.0,
        ge=-90,
        le=0,
        description="decibels of full scale that quieter recordings are amplified to; -90 leaves "
        "them as they are",
    )
    test_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="fraction held out if there is no part 'test' or 'val': of every class, and of "
        "every client where there are some",
    )
    test_clients: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="clients drawn for the server's test set, of which nothing is learned; 0 tests "
        "on all clients",
    )
    on_error: OnError = on_error_field()

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        if self.highest is not None and self.highest > self.rate / 2:
            raise ValueError(f"highest: it is at most half of the rate, {self.rate / 2:g}")
        if self.lowest >= (self.highest or self.rate / 2):
            raise ValueError("lowest: it is below the frequency where the last band ends")
        return self

    @property
    def name_pattern(self) -> str | None:
        """Return what the names of files say (see :mod:`fedlab.data.sound_files`), if anything."""
        return None

    def log_mel(self, samples: int) -> LogMel:
        """Return how recordings become spectrograms, of so many samples each."""
        window, hop = (round(self.rate * ms / 1000) for ms in (self.window, self.hop))
        highest = self.highest or self.rate / 2
        return LogMel(
            *(self.rate, samples, max(window, 2), max(hop, 1)),
            *(self.mels, self.lowest, highest, self.volume),
        )


class _Read(NamedTuple):
    """Recordings that were read.

    Attributes:
        samples: Of each recording, at the rate of the data set, as loud as it shall be; of a long
            one the middle, as long as any is cut to.
        lengths: (n,) samples of each whole recording.
        rows: What each of them is.
        split: How many are to learn from; the others are those that the user held out.
        notes: What the user should know.
    """

    samples: list[FloatArray]
    lengths: IntArray
    rows: list[Named]
    split: int
    notes: tuple[str, ...]


def sound_dataset(settings: SoundSettings, found: Recordings, key: str, seed: int) -> Dataset:
    """Return a data set of float32 log-mel spectrograms (N, frames, mels) with classes (N,).

    Bands are standardised by the training part's statistics.

    Args:
        settings: How recordings are read.
        found: The recordings.
        key: The scenario's key that names them, for messages.
        seed: Decides what is held out, where the user held out nothing.

    Raises:
        FedlabError: If a recording cannot be read, or there are fewer than two classes.
    """
    read = _read(settings, found, key)
    classes = _classes(read, key)
    groups, names = _groups(read)
    numbers = {name: number for number, name in enumerate(classes)}
    targets = np.array([numbers[row.label] for row in read.rows], dtype=np.int64)
    train, test, notes = _parts(settings, read, targets, groups, names, classes, seed)
    unlearned = [classes[n] for n in sorted({*targets[test]} - {*targets[train]})]
    if unlearned:
        raise FedlabError(
            f"{key}: {listed(unlearned)} is tested and nothing of it is learned from; another "
            "seed, data.test_clients or data.test_fraction draws other recordings"
        )
    encoding, length_notes = _length(settings, read.lengths[train], key)
    parts = [_spectrograms(encoding, [read.samples[row] for row in rows]) for rows in (train, test)]
    inputs, scaling = standardise(parts, _bands(encoding))
    task = Task(
        "classification",
        "series",
        (encoding.frames, encoding.mels),
        len(classes),
        classes,
        encoding=Encoding(features=scaling, sound=encoding),
    )
    examples = [
        Examples(
            values,
            torch.from_numpy(targets[rows]),
            None if groups is None else groups[rows],
            names,
        )
        for values, rows in zip(inputs, (train, test), strict=True)
    ]
    return Dataset(task, *examples, notes=(*found.notes, *read.notes, *notes, *length_notes))


def _read(settings: SoundSettings, found: Recordings, key: str) -> _Read:
    rows = [*found.train, *found.test]
    samples, lengths, kept, faults = [], [], [], list(found.faults)
    least = settings.rate * settings.window / 1000
    longest = round((settings.seconds or LONGEST) * settings.rate)
    for number, row in enumerate(rows):
        try:
            one = read_samples(row.file, settings.rate)
            check_length(one, least, settings.rate, str(row.file))
        except FedlabError as error:
            faults.append(str(error))
        else:
            lengths.append(len(one))
            # All recordings are held until their common length is known: hours of them, perhaps.
            samples.append(shortened(loudened(one, settings.volume), longest))
            kept.append(number)
    total = len(rows) + len(found.faults)
    notes = settle(faults, total, key, settings.on_error, "recordings")
    if not kept:
        raise FedlabError(f"{key}: none of the {total} recordings can be read")
    split = sum(number < len(found.train) for number in kept)
    whole = np.array(lengths, dtype=np.int64)
    return _Read(samples, whole, [rows[number] for number in kept], split, notes)


def check_length(samples: FloatArray, least: float, rate: int, name: str) -> None:
    """Check that a recording is at least as long as a window.

    Args:
        samples: (n,) at ``rate``.
        least: Samples of a window.
        rate: Samples a second.
        name: What messages call the recording.

    Raises:
        FedlabError: If it is shorter.
    """
    if len(samples) < round(least):
        raise FedlabError(
            f"{name} is too short: {1000 * len(samples) / rate:.3g} ms, and one window of the "
            f"spectrogram takes {1000 * least / rate:.3g}"
        )


def _classes(read: _Read, key: str) -> tuple[str, ...]:
    classes = tuple(sorted({row.label for row in read.rows[: read.split]}))
    if len(classes) < 2:
        raise FedlabError(
            f"{key}: the recordings are of {len(classes)} class"
            f"{f', {listed(classes)}' if classes else 'es'}, and two or more are needed"
        )
    unknown = sorted({row.label for row in read.rows} - {*classes})
    if unknown:
        raise FedlabError(f"{key}: {listed(unknown)} is tested and nothing of it is learned from")
    return classes


def _groups(read: _Read) -> tuple[IntArray | None, tuple[str, ...]]:
    """Return the client of each recording and their names, or None where nothing says that."""
    if not all(class_name(row.client) for row in read.rows):
        return None, ()
    return groups_of([row.client for row in read.rows])


def _parts(
    settings: SoundSettings,
    read: _Read,
    targets: IntArray,
    groups: IntArray | None,
    names: Sequence[str],
    classes: Sequence[str],
    seed: int,
) -> tuple[IntArray, IntArray, tuple[str, ...]]:
    """Return the rows to learn from, those that are tested on, and notes."""
    everything = np.arange(len(read.rows))
    if settings.test_clients:
        if groups is None or settings.test_clients >= len(names):
            raise FedlabError(
                f"data.test_clients: {settings.test_clients} of {len(names)} clients leave none to "
                "learn from"
            )
        draw = seeding.numpy_generator(seed, "sound", "test clients")
        held = np.sort(draw.choice(len(names), settings.test_clients, replace=False))
        is_held = np.isin(groups, held)
        note = f"data.test_clients: tested on {listed(names[n] for n in held)}"
        return everything[~is_held], everything[is_held], (note,)
    if read.split < len(read.rows):
        notes: tuple[str, ...] = ()
        if settings.test_fraction != type(settings).model_fields["test_fraction"].default:
            notes = ("data.test_fraction has no effect: a part is held out already",)
        return everything[: read.split], everything[read.split :], notes
    if groups is None:
        rows = hold_out(len(everything), settings.test_fraction, seed, targets, classes)
    else:
        rows = hold_out_by_group(groups, settings.test_fraction, seed, targets)
    return *rows, ()


def _length(settings: SoundSettings, samples: IntArray, key: str) -> tuple[LogMel, tuple[str, ...]]:
    """Return how recordings become spectrograms, and a note on a length that was chosen.

    Args:
        settings: How recordings are read.
        samples: (n,) how many each of those to learn from has.
        key: The scenario's key that names them, for messages.
    """
    lengths = samples / settings.rate
    if settings.seconds is not None:
        return settings.log_mel(_samples(settings, settings.seconds)), ()
    most = float(np.quantile(lengths, _MOST, method="higher"))
    seconds = min(math.ceil(most / _STEP - 1e-9) * _STEP, LONGEST)
    cut = int((lengths > seconds).sum())
    note = (
        f"data.seconds: recordings are {lengths.min():.2f} to {lengths.max():.2f} seconds long; "
        f"each is padded with silence to {seconds:.1f}"
        + (f", and {cut} of {len(lengths)} are cut to that" if cut else "")
    )
    return settings.log_mel(_samples(settings, seconds)), (note,)


def _samples(settings: SoundSettings, seconds: float) -> int:
    samples = round(seconds * settings.rate)
    least = round(settings.rate * settings.window / 1000)
    if samples < least:
        raise FedlabError(
            f"data.seconds: {seconds:g} is less than one window of {settings.window:g} milliseconds"
        )
    return samples


def _spectrograms(encoding: LogMel, samples: Sequence[FloatArray]) -> torch.Tensor:
    stacked = np.empty((len(samples), encoding.frames, encoding.mels), dtype=np.float32)
    for row, one in enumerate(samples):
        stacked[row] = encoding.of_loudened(one)
    return torch.from_numpy(stacked)


def _bands(encoding: LogMel) -> list[str]:
    return [f"band {number}" for number in range(1, encoding.mels + 1)]
