"""Recordings: WAV files, and what libsndfile reads where the package soundfile is installed."""

from __future__ import annotations

import io
import math
import warnings
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple
from zipfile import BadZipFile
from zipfile import Path as ZipEntry

import numpy as np
import numpy.typing as npt

from fedlab.data.names import shown
from fedlab.errors import FedlabError

FloatArray = npt.NDArray[np.float32]

WAV = frozenset({".wav", ".wave"})
SOUND_SUFFIXES = WAV | {
    *(".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf"),
    *(".w64", ".rf64", ".sph", ".nist", ".voc"),
}
"""Of the files in a folder that are recordings, in lower case."""
RATES = 1000, 768_000
"""The lowest and the highest sample rate that a whole recording has."""
_BEGINNINGS = (
    (b"fLaC", "FLAC"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"FORM", "AIFF"),
    (b"RIFF", "WAV"),
    (b"RIFX", "WAV"),
)
STREAMED = 0xFFFF_0000
"""The least size that a WAV file states whose writer did not know its end."""


class Recording(NamedTuple):
    """What a file holds.

    Attributes:
        samples: (n, channels) float32, full scale from -1 to 1.
        rate: Samples a second.
    """

    samples: FloatArray
    rate: int


def read_samples(path: Path | ZipEntry, rate: int) -> FloatArray:
    """Return a recording as (n,) float32: the mean of its channels, resampled to ``rate``.

    Raises:
        FedlabError: If the file is missing, is no whole recording, or is empty; it is named.
    """
    found = read_recording(path)
    return resampled(found.samples.mean(1, dtype=np.float32), found.rate, rate)


def read_recording(path: Path | ZipEntry) -> Recording:
    """Return what a file holds.

    Raises:
        FedlabError: As :func:`read_samples`.
    """
    name = shown(str(path))
    if not path.is_file():
        raise FedlabError(f"there is no sound file {name}")
    try:
        content = path.read_bytes()
    except (OSError, BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise FedlabError(f"{name} cannot be read: {reason}") from error
    if not content:
        raise FedlabError(f"{name} is not a recording: the file is empty")
    found = _wav(content, name) if content[:4] in (b"RIFF", b"RIFX") else None
    found = found or _by_libsndfile(content, name)
    if not RATES[0] <= found.rate <= RATES[1]:
        raise FedlabError(
            f"{name} says that it has {found.rate} samples a second, and recordings have from "
            f"{RATES[0]} to {RATES[1]}"
        )
    if not len(found.samples):
        raise FedlabError(f"{name} is not a whole recording: it holds no samples")
    if not np.isfinite(found.samples).all():
        raise FedlabError(f"{name} is not a whole recording: some samples are no finite numbers")
    return found


def resampled(samples: FloatArray, rate: int, wanted: int) -> FloatArray:
    """Return samples at another rate, through a low-pass filter where that is needed."""
    if rate == wanted:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    found: FloatArray = resample_poly(samples, wanted // common, rate // common).astype(np.float32)
    return found


def _wav(content: bytes, name: str) -> Recording | None:
    """Return a WAV file's samples, or None if it holds them in a form that SciPy does not read.

    Raises:
        FedlabError: If the file is cut off.
    """
    from scipy.io import wavfile

    order: Literal["little", "big"] = "little" if content[:4] == b"RIFF" else "big"
    size = 8 + int.from_bytes(content[4:8], order)
    # One byte more is the padding that some programs leave out.
    if len(content) + 1 < size < STREAMED:
        raise FedlabError(
            f"{name} is not a whole recording: its header says {size} bytes, and it has "
            f"{len(content)}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)
            warnings.filterwarnings("ignore", "Chunk .* not understood", wavfile.WavFileWarning)
            rate, stored = wavfile.read(io.BytesIO(content))
    except wavfile.WavFileWarning as error:
        raise FedlabError(f"{name} is not a whole recording: {_said(error)}") from error
    except Exception as error:  # A damaged file makes a decoder raise anything.
        if find_spec("soundfile") is not None:
            return None
        raise FedlabError(f"{name} is not a whole recording: {_said(error)}") from error
    return Recording(_full_scale(stored[:, None] if stored.ndim == 1 else stored), int(rate))


def _full_scale(stored: npt.NDArray[np.generic]) -> FloatArray:
    """Return samples from -1 to 1; 8-bit ones are unsigned, 24-bit ones fill 32 from the left."""
    if stored.dtype == np.uint8:
        return ((stored.astype(np.float32) - 128) / 128).astype(np.float32)
    if stored.dtype.kind == "i":
        largest = -float(np.iinfo(stored.dtype).min)  # type: ignore[type-var]
        return (stored.astype(np.float64) / largest).astype(np.float32)
    return stored.astype(np.float32)


def _by_libsndfile(content: bytes, name: str) -> Recording:
    """Return the samples of a file in any format of libsndfile.

    Raises:
        FedlabError: If soundfile is not installed, or the file is damaged or in no such format.
    """
    if find_spec("soundfile") is None:
        raise FedlabError(
            f"{name} is no WAV file, and other formats need the package soundfile: pip install "
            "'fedlab-sim[sound]'"
        )
    import soundfile

    stream: BinaryIO = io.BytesIO(content)
    try:
        samples, rate = soundfile.read(stream, dtype="float32", always_2d=True)
    except Exception as error:
        kind = next((kind for begin, kind in _BEGINNINGS if content.startswith(begin)), None)
        if kind is not None:
            raise FedlabError(
                f"{name} is not a whole recording: it begins as {kind} does, and is damaged or cut "
                f"off ({_said(error)})"
            ) from error
        raise FedlabError(f"{name} is not a recording that can be read: {_said(error)}") from error
    return Recording(samples, int(rate))


def _said(error: BaseException) -> str:
    """Return a decoder's reason without the object that it was read from."""
    said = " ".join(str(error).split())
    said = said.partition("BytesIO object at")[2].partition(": ")[2] or said
    return said.rstrip(".")[:200] or type(error).__name__
