"""Recordings of every width, rate and number of channels are read alike; damaged ones are named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile

from fedlab.data.formats import sound
from fedlab.data.formats.sound import read_samples, resampled
from fedlab.errors import FedlabError

TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 16_000)).astype(np.float32)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [
        ("PCM_U8", 1 / 128),
        ("PCM_16", 1 / 2**15),
        ("PCM_24", 1 / 2**23),
        ("PCM_32", 1e-7),
        ("FLOAT", 0),
        ("DOUBLE", 0),
        ("ULAW", 0.03),
    ],
)
def test_wav_files_of_any_width_hold_the_same_numbers(tmp_path, subtype, step):
    path = tmp_path / "x.WAV"
    with path.open("wb") as file:
        soundfile.write(file, TONE, 16_000, subtype=subtype, format="WAV")
    assert read_samples(path, 16_000) == pytest.approx(TONE, abs=step)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".aiff", ".au"])
def test_other_formats_are_read_by_libsndfile(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    soundfile.write(path, TONE, 16_000)
    found = read_samples(path, 16_000)
    assert np.corrcoef(found, TONE)[0, 1] > 0.999


def test_channels_become_their_mean(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.stack([TONE, np.zeros_like(TONE)], 1), 16_000, "FLOAT")
    assert read_samples(tmp_path / "x.wav", 16_000) == pytest.approx(TONE / 2)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000])
def test_a_tone_stays_the_tone_at_another_rate(rate):
    tone = np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate).astype(np.float32)
    found = resampled(tone, rate, 16_000)
    assert len(found) == 8000
    expected = np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000)
    assert found[400:-400] == pytest.approx(expected[400:-400], abs=5e-3)


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    stream = io.BytesIO()
    wavfile.write(stream, rate, samples)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"no sound at all", "is not a recording that can be read"),
        (wav(TONE)[:900], "is not a whole recording"),
        (wav(TONE)[:30], "x.wav is not a"),
        (wav(TONE[:0]), "x.wav is not a whole recording: it holds no samples"),
        (wav(np.array([0, np.nan, 1], np.float32)), "some samples are no finite numbers"),
        (wav(TONE, 4_000_000), "says that it has 4000000 samples a second"),
        (wav(TONE, 0), "x.wav"),
    ],
    ids=["empty", "text", "cut", "header", "silent", "nan", "fast", "rate 0"],
)
def test_what_is_no_whole_recording_is_named(tmp_path, content, sentence):
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(FedlabError, match=r"x\.wav") as raised:
        read_samples(path, 16_000)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named():
    with pytest.raises(FedlabError, match=r"there is no sound file absent\.wav"):
        read_samples(Path("absent.wav"), 16_000)


def test_without_soundfile_wav_files_are_read_and_others_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "find_spec", lambda name: None)
    soundfile.write(tmp_path / "x.wav", TONE, 16_000, "PCM_16")
    assert len(read_samples(tmp_path / "x.wav", 16_000)) == 4000
    soundfile.write(tmp_path / "x.flac", TONE, 16_000)
    with pytest.raises(FedlabError, match=r"pip install 'fedlab-sim\[sound\]'"):
        read_samples(tmp_path / "x.flac", 16_000)
