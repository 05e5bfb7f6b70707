"""A user's recordings: what is a class, who is a client, how long they are, what is odd."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.io import wavfile

from fedlab.data.dataset import Dataset
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.scenario.parts import load_federation
from fedlab.use.inputs import read_inputs, reader_of
from tests.shared import scenario_with

PITCH = {"low": 300.0, "high": 2500.0}
SPEAKERS = ("ann", "bob")


def load(name: str = "sound", seed: int = 0, **keys: Any) -> Dataset:
    source = datasets.get(name)
    return source(source.Settings(name=name, **keys)).load(seed)


def speak(path: Path, label: str = "low", seconds: float = 0.3, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.3 * np.sin(2 * np.pi * PITCH.get(label, 800.0) * np.arange(int(seconds * rate)) / rate)
    wavfile.write(path, rate, (tone * 32767).astype(np.int16))
    return path


def lay(root: Path, pattern: str = "{label}/{client}_{n}.wav", count: int = 5) -> Path:
    for label in PITCH:
        for client in SPEAKERS:
            for n in range(count):
                speak(root / pattern.format(label=label, client=client, n=n), label)
    return root


def who(data: Dataset) -> list[str]:
    assert data.train.groups is not None
    return [data.train.group_names[group] for group in data.train.groups]


def test_folders_are_classes_and_the_pitch_is_where_the_energy_is(tmp_path):
    data = load(path=str(lay(tmp_path)))
    assert data.task.labels == ("high", "low")
    assert data.train.groups is None
    assert (len(data.train), len(data.test)) == (16, 4)
    assert data.task.input_shape == (31, 40)
    encoding = data.task.encoding
    assert encoding is not None
    assert encoding.features is not None
    raw = data.train.inputs * np.array(encoding.features.scale) + np.array(encoding.features.offset)
    loudest = raw[:, 2:28].mean(1).argmax(1)
    assert (loudest[data.train.targets == 0] > loudest[data.train.targets == 1]).all()


def test_names_say_class_and_client_and_natural_clients_need_no_table(tmp_path):
    lay(tmp_path, "{label}_{client}_{n}.wav")
    keys = {"name": "sound", "path": str(tmp_path), "pattern": "{label}_{client}_{}"}
    scenario = scenario_with({"data": {**keys, "partition": None}, "model": {"name": "gru"}})
    assert scenario.data.partition.name == "natural"
    federation = load_federation(scenario)
    assert federation.dataset.task.labels == ("high", "low")
    assert federation.dataset.train.group_names == SPEAKERS


@pytest.mark.parametrize(
    ("layout", "keys"),
    [
        ("{client}/{label}/{n}.wav", {"clients_by": "folder"}),
        ("{label}_{client}_{n}.wav", {"pattern": "{label}_{client}_{}"}),
        ("{client}/{label}-{n}.wav", {"pattern": "{client}/{label}-{}"}),
        ("x/{n}/{label}.{client}.wav", {"pattern": "{label}.{client}"}),
    ],
)
def test_each_layout_gives_the_same_classes_and_clients(tmp_path, layout, keys):
    data = load(path=str(lay(tmp_path, layout)), **keys)
    assert data.task.labels == ("high", "low")
    assert sorted(who(data)) == ["ann"] * 8 + ["bob"] * 8
    assert np.bincount(data.test.groups).tolist() == [2, 2]


def test_a_table_names_files_classes_and_clients(tmp_path):
    lay(tmp_path / "wav", "{label}{client}{n}.wav")
    rows = [f"wav/{a}{b}{n}.wav, {a} ,{b}\n" for a in PITCH for b in SPEAKERS for n in range(5)]
    table = tmp_path / "list.csv"
    table.write_text("file,word,who\n" + "".join(rows))
    columns = {"path_column": "file", "label_column": "word", "clients_by": "who"}
    assert sorted(who(load(path=str(table), **columns))) == ["ann"] * 8 + ["bob"] * 8
    table.write_text("file,word,who\n" + "".join(rows) + "wav/absent.wav,low,ann\nx.wav,NA,bob\n")
    with pytest.raises(FedlabError, match=r"line 23, column 'word': it is empty \(1 more of 22"):
        load(path=str(table), **columns)
    left_out = load(path=str(table), **columns, on_error="skip")
    assert any("left out 2 of 22 recordings" in note for note in left_out.notes)


@pytest.mark.parametrize("pattern", [None, "{label}_{}"])
def test_sites_are_listed(tmp_path, pattern):
    layout = "{client}/{label}_{n}.wav" if pattern else "{client}/{label}/{n}.wav"
    lay(tmp_path, layout)
    sites = [{"name": name.title(), "path": str(tmp_path / name)} for name in SPEAKERS]
    keys = {"pattern": pattern} if pattern else {}
    assert sorted(set(who(load(sites=sites, **keys)))) == ["Ann", "Bob"]


def test_the_length_is_chosen_from_the_training_part_and_said(tmp_path):
    lay(tmp_path, count=15)
    speak(tmp_path / "low/long.wav", seconds=3.0)
    data = load(path=str(tmp_path), seed=1)
    (note,) = (note for note in data.notes if "seconds" in note)
    assert "recordings are 0.30 to" in note
    assert "padded with silence to 0.3" in note
    assert data.task.input_shape == (31, 40)
    assert load(path=str(tmp_path), seconds=0.5).task.input_shape == (51, 40)
    assert not any("seconds" in note for note in load(path=str(tmp_path), seconds=0.5).notes)


def test_clients_may_be_held_out_whole(tmp_path):
    data = load(path=str(lay(tmp_path, "{client}/{label}/{n}.wav")), clients_by="folder",
                test_clients=1)  # fmt: skip
    assert data.train.groups is not None
    assert data.test.groups is not None
    assert not {*data.train.groups} & {*data.test.groups}
    assert any("data.test_clients: tested on" in note for note in data.notes)


def test_a_part_of_the_folder_is_held_out(tmp_path):
    for part in ("train", "test"):
        lay(tmp_path / part, count=3 if part == "train" else 1)
    data = load(path=str(tmp_path))
    assert (len(data.train), len(data.test)) == (12, 4)


def test_a_new_recording_is_stored_as_those_of_the_data_set(tmp_path):
    data = load(path=str(lay(tmp_path / "all", count=1)), test_fraction=0.5, seed=2)
    items = [*reader_of(data.task).labelled(tmp_path / "all")]
    assert len(items) == 4
    for values, target in zip(data.train.inputs, data.train.targets, strict=True):
        gaps = [
            (item.stored - values).abs().max().item()
            for item in items
            if item.stored is not None and item.target == target
        ]
        assert min(gaps) < 1e-5
    with pytest.raises(FedlabError, match=r"short\.wav is too short: 10 ms"):
        read_inputs(data.task, [str(speak(tmp_path / "short.wav", seconds=0.01))])


def test_a_long_recording_is_amplified_by_the_loudness_of_all_of_it(tmp_path):
    draw = np.random.default_rng(0)
    for n in range(6):
        quiet = draw.normal(size=8001 + n) * np.where(np.arange(8001 + n) < 6000, 30, 2000)
        path = tmp_path / ("low" if n % 2 else "high") / f"{n}.wav"
        path.parent.mkdir(exist_ok=True)
        wavfile.write(path, 16_000, quiet.astype(np.int16))
    data = load(path=str(tmp_path), seconds=0.1, test_fraction=0.3)
    stored = [item.stored for item in reader_of(data.task).labelled(tmp_path)]
    for values in (*data.train.inputs, *data.test.inputs):
        assert min((one - values).abs().max().item() for one in stored if one is not None) < 1e-4


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "path is missing"),
        ({"path": "x", "pattern": "{client}_{}"}, "there is no {label} in it"),
        ({"path": "x", "pattern": "{label}_{speaker}"}, "'{speaker}' is none of"),
        ({"path": "x", "pattern": "{label}_{label}"}, "{label} is there twice"),
        ({"path": "x", "pattern": "{label}", "clients_by": "folder"}, "no clients_by"),
        ({"path": "x", "highest": 9000.0}, "at most half of the rate"),
        ({"path": "x", "lowest": 8000.0}, "below the frequency"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys, sentence):
    with pytest.raises(ValidationError, match=sentence.replace("{", r"\{").replace("}", r"\}")):
        datasets.get("sound").Settings(name="sound", **keys)


def test_what_cannot_be_read_is_refused_or_left_out(tmp_path):
    lay(tmp_path)
    (tmp_path / "low/damaged.wav").write_bytes(b"RIFF")
    speak(tmp_path / "low/short.wav", seconds=0.01)
    with pytest.raises(FedlabError, match=r"damaged\.wav .* \(1 more of 22 recordings"):
        load(path=str(tmp_path))
    data = load(path=str(tmp_path), on_error="skip")
    assert len(data.train) + len(data.test) == 20
    assert any("left out 2 of 22 recordings" in note for note in data.notes)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"pattern": "{label}-{client}"}, "does not fit the pattern"),
        ({"clients_by": "who"}, "'who' is a column of a CSV file"),
        ({"seconds": 0.02}, "is less than one window of 25 milliseconds"),
        ({"test_clients": 1}, "data.test_clients: 1 of 0 clients"),
        ({"clients_by": "folder"}, "holds recordings and no class folders"),
    ],
)
def test_keys_that_do_not_fit_the_folder_are_refused(tmp_path, keys, sentence):
    lay(tmp_path)
    with pytest.raises(FedlabError, match=sentence):
        load(path=str(tmp_path), **keys)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    with pytest.raises(FedlabError, match="is no folder and no CSV file"):
        load(path=str(speak(tmp_path / "x.wav")))
    with pytest.raises(FedlabError, match="there is no folder"):
        load(path=str(tmp_path / "absent"))


def test_spoken_digits_are_found_as_folder_or_zip_and_speakers_are_clients(tmp_path, monkeypatch):
    pitch_of = {"0": "low", "7": "high"}
    folder = tmp_path / "fsdd" / "recordings"
    for digit, label in pitch_of.items():
        for client in SPEAKERS:
            for n in range(5):
                speak(folder / f"{digit}_{client}_{n}.wav", label)
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    data = load("spoken-digits")
    assert data.task.labels == ("0", "7")
    assert data.train.group_names == SPEAKERS
    archive = tmp_path / "digits.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"fsdd/{path.name}")
    assert load("spoken-digits", path=str(archive)).train.inputs.equal(data.train.inputs)
    archive.write_bytes(archive.read_bytes()[:500])
    with pytest.raises(FedlabError, match="is not a whole zip file"):
        load("spoken-digits", path=str(archive))
    monkeypatch.delenv("FEDLAB_DATA")
    with pytest.raises(FedlabError, match=r"github\.com/Jakobovski/free-spoken-digit-dataset"):
        load("spoken-digits")


def test_labelled_recordings_are_read_by_names_or_a_table_as_well(tmp_path):
    lay(tmp_path, "{label}_{client}_{n}.wav")
    source = datasets.get("sound")
    keys = source.Settings(name="sound", path=str(tmp_path), pattern="{label}_{client}_{}")
    reader = reader_of(source(keys).load(0).task, keys)
    assert sum(item.target == 0 for item in reader.labelled(tmp_path)) == 10
    (tmp_path / "list.csv").write_text("path,label\nlow_ann_1.wav,low\nhigh_bob_2.wav,high\n")
    assert [int(item.target) for item in reader.labelled(tmp_path / "list.csv")] == [1, 0]
    (tmp_path / "list.csv").write_text("path,label\nlow_ann_1.wav,lo\n")
    with pytest.raises(FedlabError, match=r"--data: .*low_ann_1\.wav: unknown class 'lo'"):
        list(reader.labelled(tmp_path / "list.csv"))
