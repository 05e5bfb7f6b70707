"""Texts of a user's own, in every layout that people have them in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlab.data.dataset import Dataset
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from tests.tiny_bert import tiny_tokeniser

NAMES = {"Czech": ("Novak", "Svoboda", "Dvorak", "Cerny"), "Greek": ("Pappas", "Samaras", "Kalos")}


def load(path: Path | None, seed: int = 0, **keys: Any) -> Dataset:
    source = datasets.get("text")
    if path is not None:
        keys["path"] = str(path)
    found: Dataset = source(source.Settings(**keys)).load(seed)
    return found


def texts_of(data: Dataset, part: str = "train") -> list[str]:
    tokens = data.task.encoding.tokens
    separator = " " if data.task.encoding.unit == "words" else ""
    rows = getattr(data, part).inputs
    return [separator.join(tokens[number] for number in row if number) for row in rows]


def write_names(folder: Path, copies: int = 5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for language, names in NAMES.items():
        lines = [f"{name}{n}" for n in range(copies) for name in names]
        (folder / f"{language}.txt").write_text("\n".join(lines) + "\n\n")
    return folder


def write_table(path: Path, rows: int = 40, between: str = ",") -> Path:
    lines = [between.join(("id", "comment", "stars", "site"))]
    for n in range(rows):
        words = f"a good film of many words {n}" if n % 2 else f"some bad and boring film {n}"
        lines.append(between.join((str(n), words, "up" if n % 2 else "down", f"s{n % 4 // 2}")))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_may_be_a_class_with_an_example_a_line(tmp_path: Path) -> None:
    data = load(write_names(tmp_path))
    assert data.task.labels == ("Czech", "Greek")
    assert data.task.encoding.unit == "characters"
    assert data.task.encoding.by_line
    assert (len(data.train), len(data.test)) == (28, 7)
    czech = [text for text, k in zip(texts_of(data), data.train.targets, strict=True) if not k]
    assert {name[:-1] for name in czech} <= set(NAMES["Czech"])
    assert "each line of 2 files is an example, and each file a class" in data.notes[0]


def test_lines_may_be_in_parts_and_on_sites(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_names(tmp_path / "parts" / part, 2)
    assert len(load(tmp_path / "parts").test) == 14
    for site in ("north", "south"):
        write_names(tmp_path / "sites" / site)
    data = load(tmp_path / "sites", clients_by="folder")
    assert data.train.group_names == data.test.group_names == ("north", "south")
    assert np.bincount(data.test.groups).tolist() == [7, 7]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_kind_of_table_is_read_alike(tmp_path: Path, suffix: str) -> None:
    table = write_table(tmp_path / "x.csv")
    wanted = load(table, clients_by="site")
    path = tmp_path / f"y.{suffix}"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    records = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    if suffix == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
    elif suffix == "json":
        path.write_text(json.dumps(records))
    elif suffix == "jsonl":
        path.write_text("\n".join(map(json.dumps, records)))
    else:
        path.write_text(table.read_text().replace(",", "\t" if suffix == "tsv" else ","))
    found = load(path, clients_by="site")
    assert found.task == wanted.task
    assert found.train.inputs.tolist() == wanted.train.inputs.tolist()
    assert found.train.group_names == ("s0", "s1")


def test_the_test_part_has_its_share_of_each_class_and_client(tmp_path: Path) -> None:
    data = load(write_table(tmp_path / "x.csv", 80), clients_by="site", test_fraction=0.25)
    pairs = data.test.groups * 2 + data.test.targets.numpy()
    assert np.bincount(pairs).tolist() == [5, 5, 5, 5]


def test_tables_of_a_folder_may_be_parts_or_clients(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", 30)
    write_table(tmp_path / "test.csv", 12)
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (30, 12)
    data = load(tmp_path, clients_by="folder")
    assert data.train.group_names == ("test", "train")


def test_sites_are_listed_with_files_or_folders_of_their_own(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", 20)
    write_table(tmp_path / "b.csv", 30)
    sites = [{"name": n, "path": str(tmp_path / f"{n}.csv")} for n in "ab"]
    data = load(None, sites=sites)
    assert np.bincount(data.train.groups).tolist() == [16, 24]
    with pytest.raises(ValueError, match="both path and sites are there"):
        load(tmp_path, sites=sites)
    with pytest.raises(FedlabError, match=r"data\.sites\.1\.path: .*there is no file"):
        load(None, sites=[sites[0], {"name": "c", "path": str(tmp_path / "c.csv")}])


def test_a_site_may_lack_a_class(tmp_path: Path) -> None:
    for site, classes in (("north", ("ham", "spam")), ("south", ("ham",))):
        for label in classes:
            (tmp_path / site / label).mkdir(parents=True)
            for n in range(5):
                (tmp_path / site / label / f"{n}.txt").write_text(f"see you {label} {n}")
    data = load(tmp_path, clients_by="folder")
    assert data.task.labels == ("ham", "spam")
    assert any("'south' lacks 'spam'" in note for note in data.notes)


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        ([n / 8 for n in range(40)] * 6, "regression"),
        (list(range(40)) * 6, "regression"),
        ([n % 5 for n in range(40)], "classification"),
        ([n % 30 for n in range(600)], "classification"),
        ([f"g{n % 3}" for n in range(40)], "classification"),
        ([1.5 if n % 2 else 2.5 for n in range(40)], "classification"),
    ],
)
def test_what_is_predicted_is_told_from_the_column(
    tmp_path: Path, scores: list[Any], kind: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,score\n" + "".join(f"text {n},{s}\n" for n, s in enumerate(scores)))
    data = load(path)
    assert data.task.kind == kind
    assert any(note.startswith("data.targets: ") for note in data.notes) == (kind == "regression")
    if kind == "classification":
        return
    scaling = data.task.encoding.targets
    assert data.train.targets.mean().item() == pytest.approx(0, abs=1e-5)
    raw = data.test.targets.double() * scaling.scale[0] + scaling.offset[0]
    assert all(min(abs(value - score) for score in scores) < 1e-4 for value in raw.flatten())
    assert load(path, targets="classes").task.kind == "classification"


def test_the_length_is_what_most_training_texts_have_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [f"{'word ' * (400 if n % 40 == 7 else 10)},{n % 2}" for n in range(200)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    data = load(path)
    assert data.task.input_shape == (10,)
    assert re.search(r"\(median 10\); 10 are read, [23].* % of the texts are cut", data.notes[-1])
    assert load(path, length=30).task.input_shape == (30,)


def test_tokens_of_a_model_are_taken(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    tiny_tokeniser(tmp_path / "model")
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "good team,up\nbad rain,down\n" * 10)
    data = load(path, tokens=f"huggingface:{tmp_path / 'model' / 'tokenizer.json'}")
    assert data.task.input_shape == (4,)
    assert data.task.vocabulary == 15
    assert {tuple(row) for row in data.train.inputs.tolist()} == {(2, 13, 7, 3), (2, 14, 8, 3)}


def test_windows_1252_is_understood_and_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"text;label\n" + "café good;up\nnaïve bad;down\n".encode("cp1252") * 9)
    data = load(path, tokens="words")
    assert "café" in data.task.encoding.tokens
    assert any("is read as Windows-1252" in note for note in data.notes)


FAULTS = [
    ("x.jsonl", '{"text": "a", "label": "b"}\n{"text": oops}\n', r"x\.jsonl, line 2: .* no JSON"),
    ("x.jsonl", '{"text": "a", "label": "b"}\n[1]\n', r"line 2: '\[1\]' is no JSON object"),
    ("x.jsonl", '{"text": ["a"], "label": "b"}\n', r"line 1, key 'text': a list stands where"),
    ("x.jsonl", "\n", r"x\.jsonl is empty"),
    ("x.json", '[{"text": "a"},', r"x\.json, line 1: this is no JSON"),
    ("x.csv", "text,label\na b c,up\nd e f,up\n", "texts of a single class, 'up'"),
    ("x.csv", "text,label\na b c,up\n,down\n", r"line 3, column 'text': there is no text"),
    ("x.csv", "text,label\na b c,up\nd,\n", r"line 3, column 'label': there is no class"),
    ("x.csv", "text,label\na,\nb,\n", r"line 2, .* \(1 more of 2 rows cannot be read either\)"),
    ("x.csv", "a,b\nfoo,bar\n", r"data\.text_column: x.* has no column 'text'; say which of 'a', "),
    ("x.csv", "text\nfoo\n", r"data\.label_column: x.* holds the texts alone"),
    ("x.csv", "text,p,q\nfoo,1,2\n", r"data\.label_column: .* say which of 'p', 'q' holds the cla"),
    ("x.csv", "text,score\n" + "t,0.5\nu,0.7\nv,0.1\n" * 9 + "w,many\n",
     r"line 29, column 'score': 'many' is not a number, .* data\.targets = 'classes'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "sentence"), FAULTS)
def test_what_cannot_be_read_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(content)
    with pytest.raises(FedlabError, match=sentence):
        load(Path(name))


def test_a_wrong_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = write_table(tmp_path / "x.csv")
    for key, word, near in (
        ("text_column", "coment", "comment"),
        ("label_column", "star", "stars"),
        ("clients_by", "sites", "site"),
    ):
        with pytest.raises(FedlabError, match=rf"data\.{key}: .* Did you mean '{near}'"):
            load(path, **{key: word})
    with pytest.raises(FedlabError, match="name one column twice"):
        load(path, text_column="comment", label_column="comment")


def test_utf_16_is_understood_and_other_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(("text,label\n" + "good,up\nbad,down\n" * 9).encode("utf-16"))
    assert load(path).task.labels == ("down", "up")
    (tmp_path / "y.jsonl").write_bytes('{"text": "a", "label": "b"}'.encode("utf-16"))
    with pytest.raises(FedlabError, match=r"y\.jsonl cannot be read: it is UTF-16 text"):
        load(tmp_path / "y.jsonl")


def test_former_names_of_keys_are_accepted(tmp_path: Path) -> None:
    path = write_table(tmp_path / "x.csv")
    old = load(path, unit="words", group_column="site", length=5)
    new = load(path, tokens="words", clients_by="site", length=5)
    assert old.train.inputs.tolist() == new.train.inputs.tolist()
    assert old.train.groups.tolist() == new.train.groups.tolist()


def test_a_table_for_validation_beside_one_for_testing_is_not_used_and_a_note_says_so(
    tmp_path: Path,
) -> None:
    for name in ("train", "dev", "test"):
        write_table(tmp_path / f"{name}.csv", 20)
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (20, 20)
    assert any("'dev.csv' is not used: the model is tested on" in note for note in data.notes)


def test_one_table_is_no_two_clients(tmp_path: Path) -> None:
    write_table(tmp_path / "only.csv", 20)
    with pytest.raises(FedlabError, match="holds 1 table; with data"):
        load(tmp_path, clients_by="folder")
