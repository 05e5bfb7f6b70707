"""Recordings as log-mel spectrograms: sums of power over bands as wide as hearing tells apart.

For samples x at ``rate``, cut into windows of N samples, one every ``hop``, each multiplied by
Hann's window w:

    P(t, k) = |Σ_n w(n) x(t · hop + n − N/2) exp(−2πi k n / N)|²
    M(t, m) = Σ_k F(m, k) P(t, k)
    stored  = ln(M + FLOOR)

F(m, ·) is a triangle over the frequencies of three neighbouring points that lie evenly on the mel
scale, with area 1 (Slaney, "Auditory Toolbox", 1998). It is what librosa's ``melspectrogram``
computes by default, but for rounding; the logarithm makes it a log-mel spectrogram.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

FLOOR = 1e-6
"""Added before the logarithm: silence is finite."""
_LINEAR_BELOW, _HERTZ_PER_MEL = 1000.0, 200.0 / 3
_LOG_STEP = math.log(6.4) / 27
"""Slaney's scale: linear below 1 kHz, 27 logarithmic steps from there to 6.4 kHz."""


@dataclass(frozen=True)
class LogMel:
    """How a recording becomes what is stored, so that new recordings are prepared alike.

    Attributes:
        rate: Samples a second that recordings are resampled to.
        samples: Samples of a recording, cut at both ends or padded with silence at its end.
        window, hop: Samples of a window, and from one to the next.
        mels: Number of bands.
        lowest, highest: Frequencies in hertz where the bands begin and end.
        volume: Decibels of full scale that quieter recordings are amplified to; None for none.
        floor: Added to the power before the logarithm.
    """

    rate: int
    samples: int
    window: int
    hop: int
    mels: int
    lowest: float
    highest: float
    volume: float | None
    floor: float = FLOOR

    @property
    def frames(self) -> int:
        """Return the number of windows."""
        return 1 + self.samples // self.hop

    def of(self, samples: FloatArray) -> FloatArray:
        """Return the log-mel spectrogram, (frames, mels) float32, of a recording.

        Args:
            samples: (n,) at ``rate``, one channel, full scale from -1 to 1; any length.
        """
        return self.of_loudened(loudened(samples, self.volume))

    def of_loudened(self, samples: FloatArray) -> FloatArray:
        """Return the same of a recording that is as loud as it shall be."""
        power = self.power(fitted(samples, self.samples))
        return np.log(power + self.floor).astype(np.float32)

    def power(self, samples: FloatArray) -> npt.NDArray[np.float64]:
        """Return the mel spectrogram of the power, (1 + n // hop, mels), of (n,) samples."""
        padded = np.pad(samples.astype(np.float64), self.window // 2)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        turned = 2 * np.pi * np.arange(self.window) / self.window
        spectrum = np.fft.rfft(windows * (0.5 - 0.5 * np.cos(turned)))
        squared = spectrum.real**2 + spectrum.imag**2
        bands = mel_bands(self.rate, self.window, self.mels, self.lowest, self.highest)
        found: npt.NDArray[np.float64] = squared @ bands.T
        return found


def fitted(samples: FloatArray, length: int) -> FloatArray:
    """Return ``length`` samples: the middle of a longer recording, a shorter one and silence."""
    surplus = len(samples) - length
    if surplus <= 0:
        return np.pad(samples, (0, -surplus))
    return samples[surplus // 2 : surplus // 2 + length]


def shortened(samples: FloatArray, length: int) -> FloatArray:
    """Return the middle of a longer recording, of ``length`` samples or one more, as a copy.

    :func:`fitted` to ``length`` or less finds in it what it finds in the whole, because as many
    samples are cut off at either end.
    """
    kept = length + (len(samples) - length) % 2
    return samples if kept >= len(samples) else fitted(samples, kept).copy()


def loudened(samples: FloatArray, volume: float | None) -> FloatArray:
    """Return a recording whose loudness is at least ``volume`` decibels of full scale.

    Louder ones and silence stay as they are. It is Resemblyzer's ``normalize_volume`` with
    ``increase_only``: by the root of the mean square.
    """
    if volume is None or not len(samples):
        return samples
    loudness = math.sqrt(float(np.mean(np.square(samples, dtype=np.float64))))
    if not loudness:
        return samples
    factor = 10 ** (volume / 20) / loudness
    return samples * np.float32(factor) if factor > 1 else samples


def to_mels(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return frequencies on Slaney's mel scale."""
    linear = hertz / _HERTZ_PER_MEL
    above = np.log(np.maximum(hertz, _LINEAR_BELOW) / _LINEAR_BELOW) / _LOG_STEP
    return np.where(hertz < _LINEAR_BELOW, linear, _LINEAR_BELOW / _HERTZ_PER_MEL + above)


def to_hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the frequencies of points on Slaney's mel scale."""
    border = _LINEAR_BELOW / _HERTZ_PER_MEL
    above = _LINEAR_BELOW * np.exp(_LOG_STEP * (np.maximum(mels, border) - border))
    return np.where(mels < border, mels * _HERTZ_PER_MEL, above)


@cache
def mel_bands(
    rate: int, window: int, mels: int, lowest: float, highest: float
) -> npt.NDArray[np.float64]:
    """Return the weight of each frequency of the spectrum in each band, (mels, window // 2 + 1)."""
    ends = to_mels(np.array([lowest, highest]))
    points = to_hertz(np.linspace(ends[0], ends[1], mels + 2))
    frequencies = np.fft.rfftfreq(window, 1 / rate)
    lower, middle, upper = points[:-2, None], points[1:-1, None], points[2:, None]
    rising = (frequencies - lower) / (middle - lower)
    falling = (upper - frequencies) / (upper - middle)
    triangles: npt.NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return triangles * (2 / (upper - lower))


def described(encoding: LogMel) -> dict[str, Any]:
    """Return the parameters as they are written for other programs."""
    return {
        "sample_rate": encoding.rate,
        "samples": encoding.samples,
        "window_samples": encoding.window,
        "hop_samples": encoding.hop,
        "mel_bands": encoding.mels,
        "lowest_hertz": encoding.lowest,
        "highest_hertz": encoding.highest,
        "least_volume_dbfs": encoding.volume,
        "added_before_logarithm": encoding.floor,
    }
