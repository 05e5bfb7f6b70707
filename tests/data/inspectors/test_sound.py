"""What is found in folders of recordings, and the scenario that is proposed for it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from fedlab.data.inspection import inspect
from fedlab.errors import FedlabError
from fedlab.use.starting import starting_scenario


def speak(path: Path, seconds: float = 0.2, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.arange(int(seconds * rate)) / 3) * 9000
    wavfile.write(path, rate, tone.astype(np.int16))


@pytest.mark.parametrize(
    ("name", "layout", "keys"),
    [
        ("{word}/{who}{n}.wav", "<class>", {}),
        ("{who}/{word}/{n}.wav", "<client>/<class>", {"clients_by": "folder"}),
        (
            "{word}_{who}_{n}.wav",
            "names: {label}_{client}_{}",
            {"pattern": "{label}_{client}_{}"},
        ),
    ],
)
def test_each_layout_is_told_with_the_keys_that_read_it(tmp_path, name, layout, keys):
    for word in ("yes", "no"):
        for who in ("ann", "bob"):
            for n in range(3):
                speak(tmp_path / name.format(word=word, who=who, n=n), 0.1 + 0.1 * n)
    (tmp_path / "list.txt").write_text("x")
    found = inspect(tmp_path)
    assert (found.kind, found.layout, found.examples) == ("sound", layout, 12)
    assert found.classes == {"no": 6, "yes": 6}
    assert found.sites == ({} if layout == "<class>" else {"ann": 6, "bob": 6})
    assert dict(found.facts)["length in seconds"] == "0.10 to 0.30, 0.20 in the middle"
    data = found.scenario["data"]
    assert {key: data[key] for key in keys} == keys
    content = starting_scenario(found)
    name = "natural" if found.sites else "iid"
    assert content["data"].get("partition", {"name": "natural"})["name"] == name


def test_damaged_recordings_are_told_and_left_out_by_the_scenario(tmp_path):
    for word in ("yes", "no"):
        for n in range(3):
            speak(tmp_path / word / f"{n}.wav")
    (tmp_path / "no/damaged.wav").write_bytes(b"RIFF")
    found = inspect(tmp_path)
    assert "1 of the 7 recordings that were read are damaged" in " ".join(found.notes)
    assert found.scenario["data"]["on_error"] == "skip"


def test_recordings_that_nothing_says_anything_of_are_refused(tmp_path):
    for n in range(3):
        speak(tmp_path / f"{n}.wav")
    with pytest.raises(FedlabError, match=r"no names that say it; data\.pattern or a CSV file"):
        inspect(tmp_path)


def test_a_table_that_lists_recordings_is_no_table_to_learn_from(tmp_path):
    rows = []
    for label in ("no", "yes"):
        for number in range(4):
            speak(tmp_path / "clips" / f"{label}{number}.wav")
            rows.append(f"clips/{label}{number}.wav;{label};{'ab'[number % 2]}")
    (tmp_path / "list.csv").write_text("clip;word;speaker\n" + "\n".join(rows) + "\n")
    found = inspect(tmp_path / "list.csv")
    assert (found.kind, found.examples, found.layout) == ("sound", 8, "a table")
    assert found.classes == {"no": 4, "yes": 4}
    assert found.sites == {"a": 4, "b": 4}
    data = starting_scenario(found)["data"]
    assert data["path"] == str(tmp_path / "list.csv")
    keys = {key: data[key] for key in ("path_column", "label_column", "clients_by")}
    assert keys == {"path_column": "clip", "label_column": "word", "clients_by": "speaker"}
