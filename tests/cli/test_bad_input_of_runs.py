"""Bad input to predict and evaluate, of texts, recordings and series: one sentence, exit code 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.cli.conftest import Refused, Typed
from tests.shared import scenario_with

TEXTS = "text,label\n" + "a dull film,no\na fine film,yes\n" * 20
HOURS = "hour,load,temp\n" + "".join(f"{n},{n % 5}.5,{n % 7}\n" for n in range(40))


def speak(path: Path, seconds: float = 0.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.sin(np.arange(int(seconds * 8000)) / 3) * 9000
    wavfile.write(path, 8000, wave.astype(np.int16))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a run of each kind of data."""
    own = tmp_path_factory.mktemp("own")
    (own / "t.csv").write_text(TEXTS)
    (own / "m.csv").write_text(HOURS)
    for label in ("no", "yes"):
        for number in range(4):
            speak(own / "words" / label / f"{number}.wav")
    data = {
        "texts": ({"name": "text", "path": str(own / "t.csv")}, {"name": "fasttext"}),
        "sound": ({"name": "sound", "path": str(own / "words")}, {"name": "gru"}),
        "series": (
            {
                "name": "series-csv",
                "path": str(own / "m.csv"),
                "columns": ["load", "temp"],
                "window": 4,
            },
            {"name": "gru"},
        ),
    }
    found = {}
    for kind, (keys, model) in data.items():
        scenario = scenario_with({"rounds": 1, "data": keys, "model": model})
        folder = RunFolder.create(tmp_path_factory.mktemp("runs"), kind, scenario)
        run(folder)
        found[kind] = folder.path
    return found


@pytest.mark.parametrize(
    ("kind", "name", "content", "predicted", "evaluated"),
    [
        ("texts", "n.csv", "", "n.csv is empty", "n.csv is empty"),
        ("texts", "n.csv", TEXTS + TEXTS, "line 42: this row is the", "line 42: this row is the"),
        ("texts", "n.csv", "a,b\n1,2\n", "has no column 'text'", "has no column 'text'"),
        ("texts", "n.jsonl", "[1]\n", "its list holds other thi", "its list holds other things"),
        ("texts", "n.jsonl", '{"text": [1]}\n', "line 1, key 'text': a list", "key 'text': a list"),
        ("texts", "n.csv", TEXTS + "a,odd\n", None, "line 42, column 'label': unknown class 'odd'"),
        ("texts", "n.csv", TEXTS + "a,\n", None, "line 42, column 'label': there is no class"),
        ("texts", "n.csv", TEXTS + ",no\n", "row 41: there is no text", "there is no text"),
        ("texts", "n.csv", None, "there is no file n.csv", "there is no file n.csv"),
        ("texts", "n.txt", b"\xff\xfea\0", "it is UTF-16 text; save it", "a header and no rows"),
        ("sound", "n.wav", b"noise", "n.wav is not a recording that can", "n.wav is one recording"),
        ("sound", "n.wav", b"", "n.wav is not a recording: the file is", "n.wav is one recording"),
        (
            "sound",
            "n.flac",
            b"fLaC",
            "it begins as FLAC does, and is dama",
            "n.flac is one recordi",
        ),
        ("sound", "n.csv", "path,label\n", "n.csv is not a recording", "has a header and no rows"),
        (
            "sound",
            "n.csv",
            "path,label\n,no\n",
            "is not a record",
            "line 2, column 'path': it is em",
        ),
        (
            "sound",
            "n.csv",
            "path,label\na.wav,\n",
            "is not a re",
            "line 2, column 'label': it is e",
        ),
        (
            "sound",
            "n.csv",
            "path,label\na.wav,no\n",
            "is not a rec",
            "there is no sound file a.wav",
        ),
        ("sound", "n.csv", "path,label\na.wav,odd\n", "is not a", "a.wav: unknown class 'odd'"),
        ("sound", "n.csv", "file,label\na.wav,no\n", "is not a", "has an unknown column 'path'"),
        ("sound", "n.wav", None, "there is no sound file n.wav", "there is no folder n.wav"),
        ("series", "n.csv", "", "n.csv is empty", "n.csv is empty"),
        ("series", "n.csv", "hour,load,temp\n", "a header and no rows", "a header and no rows"),
        (
            "series",
            "n.csv",
            HOURS + HOURS,
            "line 42: this row is the h",
            "line 42: this row is the",
        ),
        (
            "series",
            "n.csv",
            HOURS.replace("hour", "load"),
            "line 1: two columns",
            "line 1: two col",
        ),
        (
            "series",
            "n.csv",
            HOURS.replace("load", "lod"),
            "Did you mean 'lod'",
            "Did you mean 'lod'",
        ),
        (
            "series",
            "n.csv",
            "load,temp\n1,2\n",
            "n.csv has 1 rows, and the",
            "has 4 steps and 1 tha",
        ),
        ("series", "n.csv", HOURS + "1,x,2\n", "'x' is not a number", "'x' is not a number"),
        (
            "series",
            "n.csv",
            HOURS + "1,,2\n",
            "there is no number; data.missing",
            "there is no numb",
        ),
        ("series", "n.csv", "1,2,3\n", "has 3 columns, and the network takes 2", "has 3 columns"),
        ("series", "n.csv", None, "there is no file n.csv", "there is no file n.csv"),
        (
            "series",
            "n.ts",
            "@data\n",
            "names no classes in a line '@class",
            "names no classes in a",
        ),
    ],
)
def test_what_a_run_cannot_take_is_refused_by_predict_and_evaluate(
    refused: Refused,
    runs: dict[str, Path],
    kind: str,
    name: str,
    content: str | bytes | None,
    predicted: str | None,
    evaluated: str,
) -> None:
    if content is not None:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if predicted is not None:
        (said,) = refused("predict", runs[kind], name)
        assert predicted in said
    (said,) = refused("evaluate", runs[kind], "--data", name)
    assert evaluated in said


def test_a_folder_where_a_file_is_wanted_is_refused(
    refused: Refused, runs: dict[str, Path]
) -> None:
    Path("leer").mkdir()
    for kind, sentence in {
        "texts": "leer holds no text files",
        "sound": "leer holds no recordings",
        "series": "leer is a folder, and a file with a table is wanted",
    }.items():
        (said,) = refused("predict", runs[kind], "leer")
        assert said.startswith(sentence)
        (said,) = refused("evaluate", runs[kind], "--data", "leer")
        assert said.startswith("--data: ")


@pytest.mark.parametrize(
    "content",
    [
        HOURS.encode("utf-16"),
        HOURS.replace(",", "\t").encode(),
        HOURS.replace(",", ";").replace(".", ",").encode(),
        HOURS.replace("hour", "größe").encode("latin-1"),
    ],
    ids=["utf-16", "tabs", "decimal commas", "latin-1"],
)
def test_a_run_takes_series_as_programs_write_them(
    typed: Typed, runs: dict[str, Path], content: bytes
) -> None:
    Path("plain.csv").write_text(HOURS)
    Path("n.csv").write_bytes(content)
    wanted, found = (typed("predict", runs["series"], name) for name in ("plain.csv", "n.csv"))
    assert (wanted.code, found.code) == (0, 0)
    numbers = [outcome.out.split("│")[2] for outcome in (wanted, found)]
    assert numbers[0] == numbers[1]
