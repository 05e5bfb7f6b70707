"""Mistakes with recordings, series, predictions and exports: one sentence each, exit code 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from tests.cli.conftest import Refused

SCENARIO = """rounds = 1
engine.name = "inline"
[data]
{data}
partition = {{name = "iid", clients = 2}}
[model]
name = "{model}"
"""


def speak(path: str, seconds: float = 0.1) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.arange(int(seconds * 8000)) / 3) * 9000
    wavfile.write(path, 8000, tone.astype(np.int16))


def words() -> None:
    for label in ("no", "yes"):
        for number in range(4):
            speak(f"words/{label}/{number}.wav")


def damaged() -> None:
    words()
    Path("words/no/x.wav").write_bytes(b"RIFF")


def short() -> None:
    words()
    speak("words/no/x.wav", 0.01)


def meters() -> None:
    rows = "".join(f"{n},{'' if n == 7 else n}\n" for n in range(40))
    Path("m.csv").write_text("hour,load\n" + rows)


SOUND = 'name = "sound"\npath = "words"\n'
SERIES = 'name = "series-csv"\npath = "m.csv"\n'


@pytest.mark.parametrize(
    ("data", "model", "make", "sentence"),
    [
        (SOUND, "gru", None, "data.path: there is no folder HERE/words"),
        ('name = "sound"', "gru", None, "path is missing"),
        (SOUND, "gru", damaged, "words/no/x.wav is not a whole recording"),
        (SOUND, "gru", short, "words/no/x.wav is too short: 10 ms"),
        (SOUND + 'pattern = "{speaker}"', "gru", words, "is none of {label}, {client} and {}"),
        (SOUND + 'pattern = "{label}-{}"', "gru", words, "does not fit the pattern"),
        (SOUND + 'clients_by = "folder"', "gru", words, "holds recordings and no class folders"),
        (SOUND + "seconds = 0.01", "gru", words, "data.seconds: 0.01 is less than one window"),
        (SOUND + "test_clients = 1", "gru", words, "data.test_clients: 1 of 0 clients"),
        (SOUND + "mels = 20", "speech-lstm", words, "leave data.rate, mels, window, hop"),
        ('name = "iris"', "speech-lstm", None, "'speech-lstm' takes series"),
        (
            SERIES + 'columns = ["load"]\nwindow = 3',
            "speech-lstm",
            None,
            "takes recordings, as the data sets",
        ),
        ('name = "spoken-digits"', "gru", None, "github.com/Jakobovski/free-spoken-digit-dataset"),
        (SERIES, "gru", None, "line 9, column 'load': there is no number; data.missing = "),
        (SERIES + 'columns = ["laod"]', "gru", None, "Did you mean 'load'?"),
        (SERIES + 'label = "load"\ntarget = "hour"', "gru", None, "name one"),
        (SERIES + 'missing = "zero"', "gru", None, "'interpolate'"),
    ],
)
def test_data_that_cannot_be_learned_from_get_one_sentence(
    refused: Refused, data: str, model: str, make, sentence: str
) -> None:
    meters()
    if "speech" in model and "load" in data:
        Path("m.csv").write_text(Path("m.csv").read_text().replace("7,\n", "7,7\n"))
    if make is not None:
        make()
    Path("own.toml").write_text(SCENARIO.format(data=data, model=model))
    (told,) = refused("run", "own.toml")
    assert sentence in told.replace(str(Path.cwd()), "HERE")
