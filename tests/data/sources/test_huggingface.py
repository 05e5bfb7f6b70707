"""Data sets of Hugging Face, made here: texts, pictures and tables, as folders and files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import datasets as library
import numpy as np
import pytest
from PIL import Image

from fedlab.data.dataset import Dataset
from fedlab.errors import AssetMissing, FedlabError
from fedlab.registry import datasets

ROWS = 40


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))


def load(path: Path | str, **keys: Any) -> Dataset:
    source = datasets.get("huggingface")
    found: Dataset = source(source.Settings(path=str(path), **keys)).load(0)
    return found


def texts(rows: int = ROWS) -> Any:
    features = library.Features(
        {
            "id": library.Value("int64"),
            "review": library.Value("string"),
            "sentiment": library.ClassLabel(names=["neg", "pos"]),
            "author": library.Value("string"),
        }
    )
    words = ("a good film indeed", "some bad and boring film")
    return library.Dataset.from_dict(
        {
            "id": list(range(rows)),
            "review": [f"{words[n % 2]} {n}" for n in range(rows)],
            "sentiment": [1 - n % 2 for n in range(rows)],
            "author": [f"a{n % 4 // 2}" for n in range(rows)],
        },
        features=features,
    )


def test_texts_saved_to_disk_have_classes_clients_and_splits(tmp_path: Path) -> None:
    library.DatasetDict({"train": texts(), "test": texts(10)}).save_to_disk(tmp_path / "x")
    data = load(tmp_path / "x", clients_by="author", tokens="words")
    assert data.task.labels == ("neg", "pos")
    assert (len(data.train), len(data.test)) == (ROWS, 10)
    assert data.train.group_names == ("a0", "a1")
    word = data.task.encoding.tokens[data.train.inputs[0, 1]]
    assert word == ("good" if data.train.targets[0] == 1 else "bad")
    assert "data: texts are in 'review', what is predicted in 'sentiment'" in data.notes


def test_classes_of_a_test_split_count_by_their_names(tmp_path: Path) -> None:
    other = library.ClassLabel(names=["pos", "neg"])
    swapped = texts(10).map(lambda row: {"sentiment": 1 - row["sentiment"]})
    splits = {"train": texts(), "test": swapped.cast_column("sentiment", other)}
    library.DatasetDict(splits).save_to_disk(tmp_path / "x")
    data = load(tmp_path / "x")
    assert data.task.labels == ("neg", "pos")
    assert data.test.targets.tolist() == data.train.targets[:10].tolist()


@pytest.mark.parametrize("suffix", ["parquet", "json", "csv"])
def test_a_file_is_read_and_a_part_of_each_client_held_out(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    getattr(texts(), f"to_{suffix}")(str(path))
    data = load(path, clients_by="author", input_column="review", label_column="sentiment")
    assert (len(data.train), len(data.test)) == (32, 8)
    assert np.bincount(data.test.groups).tolist() == [4, 4]
    assert data.task.kind == "classification"


def test_pictures_of_an_imagefolder_are_scaled(tmp_path: Path) -> None:
    for part in ("train", "validation"):
        for label, level in (("dark", 10), ("light", 240)):
            (tmp_path / part / label).mkdir(parents=True)
            for n in range(3):
                colour = (level, level, level)
                Image.new("RGB", (9, 7), colour).save(tmp_path / part / label / f"{n}.png")
    data = load(tmp_path, image_size=8, channels=1)
    assert data.task.labels == ("dark", "light")
    assert data.train.inputs.shape == (6, 1, 8, 8)
    bright = data.train.inputs.float().mean((1, 2, 3)) > 100
    assert bright.tolist() == (data.train.targets == 1).tolist()
    assert any("'validation' is the split that the model is tested on" in n for n in data.notes)


def test_pictures_in_parquet_are_decoded_and_a_bad_one_is_named(tmp_path: Path) -> None:
    files = []
    for n in range(10):
        files.append(str(tmp_path / f"{n}.png"))
        Image.new("RGB", (6, 6), (200 * (n % 2), 0, 0)).save(files[-1])
    content = [{"bytes": Path(f).read_bytes(), "path": None} for f in files]
    features = library.Features(
        {"image": library.Image(), "label": library.ClassLabel(names=["a", "b"])}
    )
    rows = {"image": content, "label": [n % 2 for n in range(10)]}
    library.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "x.parquet"))
    data = load(tmp_path / "x.parquet", image_size=4)
    assert data.train.inputs.shape == (8, 3, 4, 4)
    assert ((data.train.inputs[:, 0, 0, 0] > 100) == (data.train.targets == 1)).all()
    rows["image"][3] = {"bytes": b"no picture", "path": None}
    library.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "y.parquet"))
    with pytest.raises(FedlabError, match=r"^data\.path: picture 4 is not a picture"):
        load(tmp_path / "y.parquet")


def test_columns_of_numbers_are_a_table_and_scores_are_regressed(tmp_path: Path) -> None:
    rows = {
        "age": [float(n) for n in range(ROWS)],
        "height": [None if n == 3 else n % 7 for n in range(ROWS)],
        "city": ["Rome"] * ROWS,
        "score": [n / 7 for n in range(ROWS)],
    }
    library.Dataset.from_dict(rows).save_to_disk(tmp_path / "x")
    data = load(tmp_path / "x")
    assert data.task.kind == "regression"
    assert data.task.input_shape == (2,)
    assert data.train.inputs.mean(0).abs().max() < 1e-5
    assert any("the columns 'city' hold no numbers" in note for note in data.notes)


def test_what_is_missing_is_said_with_the_nearest_name(tmp_path: Path) -> None:
    library.DatasetDict({"train": texts()}).save_to_disk(tmp_path / "x")
    for key, word, near in (
        ("input_column", "reviews", "review"),
        ("label_column", "sentimnt", "sentiment"),
        ("clients_by", "autor", "author"),
        ("train_split", "trian", "train"),
    ):
        with pytest.raises(FedlabError, match=rf"^data\.{key}: .* Did you mean '{near}'"):
            load(tmp_path / "x", **{key: word})
    with pytest.raises(FedlabError, match=r"^data\.path: there is no file or folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FedlabError, match=r"^data\.path: .* cannot be read as a data set of"):
        load(tmp_path / "empty")
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(FedlabError, match=r"^data\.path: .*x\.zip is none of \.csv, "):
        load(tmp_path / "x.zip")


def test_without_the_hub_it_is_refused_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    begin = time.monotonic()
    with pytest.raises(AssetMissing, match=r"^data\.path: the data set 'no-one/none' is not on"):
        load("no-one/none")
    assert time.monotonic() - begin < 5
