"""Mistakes with recordings, series, predictions and exports: one sentence each, exit code 2."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile

from tests.cli.conftest import Refused, Typed

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


def no_samples() -> None:
    words()
    wavfile.write("words/no/x.wav", 8000, np.zeros(0, np.int16))


def half_a_flac() -> None:
    words()
    content = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(content, noise, 8000, format="FLAC")
    Path("words/no/x.flac").write_bytes(content.getvalue()[: len(content.getvalue()) // 2])


def half_a_wav() -> None:
    words()
    content = Path("words/no/0.wav").read_bytes()
    Path("words/no/0.wav").write_bytes(content[: len(content) // 2])


def one_class() -> None:
    for number in range(4):
        speak(f"words/no/{number}.wav")


def an_empty_class() -> None:
    words()
    Path("words/maybe").mkdir()


def a_file() -> None:
    speak("words")


def listed(*more: str) -> Callable[[], None]:
    def make() -> None:
        words()
        rows = [f"words/{label}/{n}.wav,{label},a" for label in ("no", "yes") for n in range(4)]
        Path("t.csv").write_text("\n".join(["path,label,who", *rows, *more]) + "\n")

    return make


def meters() -> None:
    rows = "".join(f"{n},{'' if n == 7 else n}\n" for n in range(40))
    Path("m.csv").write_text("hour,load\n" + rows)


TABLE = 'name = "sound"\npath = "t.csv"\n'
SOUND = 'name = "sound"\npath = "words"\n'
SERIES = 'name = "series-csv"\npath = "m.csv"\n'


@pytest.mark.parametrize(
    ("data", "model", "make", "sentence"),
    [
        (SOUND, "gru", None, "data.path: there is no folder HERE/words"),
        ('name = "sound"', "gru", None, "path is missing"),
        (SOUND, "gru", damaged, "words/no/x.wav is not a whole recording"),
        (SOUND, "gru", short, "words/no/x.wav is too short: 10 ms"),
        (SOUND, "gru", no_samples, "words/no/x.wav is not a whole recording: it holds no samples"),
        (SOUND, "gru", half_a_flac, "x.flac is not a whole recording: it begins as FLAC does, and"),
        (SOUND, "gru", half_a_wav, "0.wav is not a whole recording: its header says 1644 bytes"),
        (SOUND, "gru", one_class, "words holds one folder of recordings, and needs at least two"),
        (SOUND, "gru", an_empty_class, "words/maybe holds no recordings"),
        (SOUND, "gru", a_file, "data.path: HERE/words is no folder and no CSV file"),
        (TABLE, "gru", listed("words/no/9.wav,no,a"), "there is no sound file HERE/words/no/9.wav"),
        (TABLE, "gru", listed("words/no/1.wav,,a"), "line 10, column 'label': it is empty"),
        (TABLE, "gru", listed("path,label,who"), "line 10: this row is the header once more"),
        (TABLE + 'label_column = "lable"', "gru", listed(), "Did you mean 'label'?"),
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


HOURS = "hour,load,temp\n" + "".join(f"{n},{n % 5}.5,{n % 7}\n" for n in range(40))
SITES = 'name = "series-csv"\nwindow = 4\nsites = ['


@pytest.mark.parametrize(
    ("content", "keys", "sentence"),
    [
        ("", "", "m.csv is empty; its first line names the columns"),
        ("hour,load\n", "", "m.csv has a header and no rows"),
        (HOURS.replace("temp", "load"), "", "line 1: two columns are called 'load' (columns 2 and"),
        (HOURS + HOURS, "", "m.csv, line 42: this row is the header once more"),
        (HOURS.partition("\n")[2], "", "the first line holds numbers alone, and should name the"),
        (HOURS + "40,x,1\n", "", "line 42, column 'load': 'x' is not a number, and 97.6 % of the"),
        (HOURS + "40,x,1\n", 'columns = ["load"]', "line 42, column 'load': 'x' is not a number"),
        (HOURS + "40,inf,1\n", 'columns = ["load"]', "line 42, column 'load': 'inf' is not a num"),
        (HOURS + "40,1\n", "", "line 42: this row has too few fields: 2, and the header has 3"),
        (HOURS + "3,1,1\n", 'time = "hour"', "line 42, column 'hour': the time '3' is on line 5"),
        (HOURS, 'time = "when"', "has an unknown column 'when'"),
        (HOURS, 'clients_by = "site"', "has an unknown column 'site'"),
        ("a,b\n" + ",1\n" * 40, 'columns = ["a"]\nmissing = "mean"', "column 'a' holds no number"),
        ("a,b\n1,1\n", "", "no series in HERE/m.csv has 5 steps (window + horizon) in its train"),
        ("a\nx\n", "", "m.csv has no column of numbers to read; name some"),
        ("a,b\n" + "1,x\n" * 40, 'label = "b"', "there is one class to learn, 'x', and two or"),
        ("a,b\n1,x\n2,\n", 'label = "b"', "line 3, column 'b': there is no name"),
        (None, "", "data.path: there is no file HERE/m.csv"),
        ("a folder", "", "data.path: HERE/m.csv is a folder, and a file with a table is wanted"),
    ],
)
def test_series_that_cannot_be_learned_from_are_refused_with_their_place(
    refused: Refused, content: str | None, keys: str, sentence: str
) -> None:
    if content == "a folder":
        Path("m.csv").mkdir()
    elif content is not None:
        Path("m.csv").write_text(content)
    data = f'name = "series-csv"\npath = "m.csv"\nwindow = 4\n{keys}'
    own = SCENARIO.format(data=data, model="gru")
    if "clients_by" in keys:
        own = "".join(line for line in own.splitlines(True) if "partition" not in line)
    Path("own.toml").write_text(own)
    (said,) = refused("check", "own.toml")
    assert sentence in said.replace(str(Path.cwd()), "HERE")


@pytest.mark.parametrize(
    ("third", "sentence"),
    [
        (
            "d.csv",
            "data.sites.2.path: HERE/d.csv has an unknown column 'load'. Did you mean 'lod'?",
        ),
        ("e", "data.sites.2.path: HERE/e is a folder, and a file with a table is wanted"),
        ("f.csv", "data.sites.2.path: there is no file HERE/f.csv"),
        ("a.csv", "data.sites: 'a' and 'c' have one path, HERE/a.csv"),
    ],
)
def test_a_site_of_series_that_does_not_fit_is_named(
    refused: Refused, third: str, sentence: str
) -> None:
    for name in ("a.csv", "b b.csv"):
        Path(name).write_text(HOURS)
    Path("d.csv").write_text("hour,lod,temp\n1,2,3\n")
    Path("e").mkdir()
    named = zip("abc", ("a.csv", "b b.csv", third), strict=True)
    sites = ",".join(f'{{name = "{name}", path = "{path}"}}' for name, path in named)
    data = f"{SITES}{sites}]"
    own = SCENARIO.format(data=data, model="gru").replace("partition", "#")
    Path("own.toml").write_text(own)
    (said,) = refused("check", "own.toml")
    assert sentence in said.replace(str(Path.cwd()), "HERE")


TS = "@timeStamps false\n@classLabel true a b\n@data\n"
FEW = "1,2,3,4:a\n4,3,2,1:b\n" * 3


@pytest.mark.parametrize(
    ("train", "sentence"),
    [
        (TS + FEW + "1,x,3,4:a\n", "TRAIN.ts, line 10: 'x' is not a number"),
        (TS + FEW + "1,,3,4:a\n", "TRAIN.ts, line 10: '' is not a number; a missing value is '?'"),
        (TS + FEW + "1,2,3,4:c\n", "TRAIN.ts, line 10: 'c' is not a class of the header"),
        (TS + FEW + "1,2,3,4\n", "line 10: a colon stands before the class, and there is none"),
        (TS + "1,2,3,4:a\n", "'b' is tested and nothing of it is learned from"),
        ("", "TRAIN.ts is not a .ts file: it has no line '@data'"),
        ((TS + FEW).encode("utf-16"), "TRAIN.ts cannot be read: it is UTF-16 text; save it as UTF"),
    ],
)
def test_ts_files_that_break_the_format_are_refused_with_their_line(
    refused: Refused, train: str | bytes, sentence: str
) -> None:
    Path("TRAIN.ts").write_bytes(train if isinstance(train, bytes) else train.encode())
    Path("TEST.ts").write_text(TS + FEW)
    data = 'name = "ts-files"\ntrain = "TRAIN.ts"\ntest = "TEST.ts"'
    Path("own.toml").write_text(SCENARIO.format(data=data, model="gru"))
    (said,) = refused("check", "own.toml")
    assert sentence in said


@pytest.mark.parametrize(
    "content",
    [
        HOURS.encode("utf-16"),
        HOURS.replace("temp", "wärme").encode("latin-1"),
        HOURS.encode("utf-8-sig"),
        HOURS.replace(",", "\t").encode(),
        HOURS.replace(",", ";").replace(".", ",").encode(),
    ],
    ids=["utf-16", "latin-1", "byte order mark", "tabs", "decimal commas"],
)
def test_series_as_programs_write_them_are_read(typed: Typed, content: bytes) -> None:
    Path("Zähler 1.csv").write_bytes(content)
    data = 'name = "series-csv"\npath = "Zähler 1.csv"\nwindow = 4\ncolumns = ["load"]'
    Path("own.toml").write_text(SCENARIO.format(data=data, model="gru"))
    outcome = typed("check", "own.toml")
    assert outcome.code == 0, outcome


def test_recordings_of_other_rates_and_channels_and_sites_of_few_are_read(typed: Typed) -> None:
    for site in ("a", "b"):
        for label in ("größer", "yes"):
            for number in range(4):
                speak(f"s/{site}/{label}/{number}.wav")
    speak("s/c c/yes/1.wav")
    speak("s/c c/other/1.wav")
    speak("s/c c/größer/1.wav")
    noise = np.random.default_rng(0).normal(0, 3000, (4000, 2)).astype(np.int16)
    wavfile.write("s/a/yes/stereo.wav", 44100, noise)
    data = 'name = "sound"\npath = "s"\nclients_by = "folder"'
    own = SCENARIO.format(data=data, model="gru").replace("partition", "#")
    Path("own.toml").write_text(own)
    outcome = typed("check", "own.toml")
    assert outcome.code == 0, outcome
    (note,) = [line for line in outcome.out.splitlines() + outcome.errors if "every class" in line]
    assert "not every site has recordings of every class: 'a' lacks 'other'" in note
