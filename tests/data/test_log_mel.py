"""Log-mel spectrograms are those of librosa, whose figures stand here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT, get_window

from fedlab.data.log_mel import (
    FLOOR,
    LogMel,
    fitted,
    loudened,
    mel_bands,
    shortened,
    to_hertz,
    to_mels,
)

SPEECH = LogMel(16_000, 1600, 400, 160, 40, 0.0, 8000.0, None)
TONE = np.sin(2 * np.pi * 440 * np.arange(1600) / 16_000).astype(np.float32)


@pytest.mark.parametrize("whole", [5, 9, 10, 11, 12, 13, 20, 21])
def test_the_middle_of_a_long_recording_is_that_of_its_shortened_one(whole):
    samples = np.arange(whole, dtype=np.float32)
    kept = shortened(samples, 10)
    assert len(kept) <= 11
    assert kept.base is None or kept is samples, "a view would keep the whole recording"
    for length in range(1, 11):
        np.testing.assert_array_equal(fitted(kept, length), fitted(samples, length))


def test_points_of_the_scale_are_those_that_librosa_documents():
    # librosa.mel_frequencies(n_mels=40), from its documentation.
    documented = [0.0, 85.317, 170.635, 938.49, 1024.856, 1119.114, 4188.417, 10096.408, 11025.0]
    points = to_hertz(np.linspace(0, to_mels(np.array([11025.0]))[0], 40))
    assert points[[0, 1, 2, 11, 12, 13, 28, 38, 39]] == pytest.approx(documented, abs=1e-3)


def test_the_power_of_a_tone_is_that_of_librosa():
    # librosa 0.11: feature.melspectrogram(y=tone, sr=16000, n_fft=400, hop_length=160, n_mels=40)
    power = SPEECH.power(TONE)
    assert power.shape == (11, 40)
    assert power[5, 4:7] == pytest.approx([21.756968, 164.31085, 17.819235], rel=1e-5)
    assert power[0, 5:8] == pytest.approx([53.703167, 16.549616, 1.812379], rel=1e-5)
    # melspectrogram(y=tone[:1000], sr=8000, n_fft=200, hop_length=80, n_mels=20, fmin=100,
    # fmax=3000)
    other = LogMel(8000, 1000, 200, 80, 20, 100.0, 3000.0, None)
    expected = [28.181604, 11.588565, 7.1063749e-3, 1.7423477e-4]
    assert other.power(TONE[:1000])[4, :4] == pytest.approx(expected, rel=1e-4)


def test_the_power_is_that_of_scipys_short_time_transform():
    noise = np.random.default_rng(0).standard_normal(1600).astype(np.float32)
    transform = ShortTimeFFT(get_window("hann", 400), 160, 16_000)
    squared = transform.spectrogram(noise, p0=0, p1=11, padding="zeros").T
    bands = mel_bands(16_000, 400, 40, 0.0, 8000.0)
    assert SPEECH.power(noise) == pytest.approx(squared @ bands.T, rel=1e-9)


def test_what_is_stored_is_the_logarithm_and_silence_is_finite():
    stored = SPEECH.of(np.zeros(7, np.float32))
    assert stored.shape == (SPEECH.frames, 40) == (11, 40)
    assert stored == pytest.approx(np.log(FLOOR))
    assert np.exp(SPEECH.of(TONE)) - FLOOR == pytest.approx(SPEECH.power(TONE), rel=1e-4, abs=1e-9)


def test_a_long_recording_is_cut_around_its_middle_and_a_short_one_padded_at_its_end():
    assert fitted(np.arange(9, dtype=np.float32), 5).tolist() == [2, 3, 4, 5, 6]
    assert fitted(np.ones(2, np.float32), 4).tolist() == [1, 1, 0, 0]


def test_quiet_recordings_are_amplified_to_the_volume_and_others_are_left_alone():
    quiet = TONE * 1e-4
    loud = loudened(quiet, -30.0)
    assert 20 * np.log10(np.sqrt(np.mean(loud**2))) == pytest.approx(-30, abs=1e-4)
    assert loudened(TONE, -30.0) is TONE
    assert not loudened(np.zeros(5, np.float32), -30.0).any()


def test_equal_recordings_are_stored_alike_in_torch():
    assert torch.equal(*(torch.from_numpy(SPEECH.of(TONE)) for _ in range(2)))
