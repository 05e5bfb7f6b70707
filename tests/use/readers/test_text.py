"""predict and evaluate take texts in every layout that training takes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.data.sources.text import Text
from fedlab.data.texts.settings import TextSettings
from fedlab.errors import FedlabError
from fedlab.use.inputs import Item, reader_of


def write(path: Path, rows: int = 30) -> Path:
    lines = [f"good film {n},{n / 8}" if n % 2 else f"bad movie {n},{n / 8}" for n in range(rows)]
    path.write_text("review,stars\n" + "\n".join(lines) + "\n")
    return path


def reader_for(path: Path, **keys: Any) -> Any:
    settings = TextSettings(path=str(path), **keys)
    task = Text(settings).load(0).task
    return reader_of(task, settings)


def read(reader: Any, *arguments: str) -> list[Item]:
    found = list(reader.read(arguments))
    assert all(item.stored is not None for item in found)
    return found


@pytest.fixture
def scores(tmp_path: Path) -> Any:
    return reader_for(write(tmp_path / "x.csv"), tokens="words", length=4)


def test_a_table_json_lines_and_standard_input_give_the_same_inputs(
    scores: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["good film 1", "bad movie 2"]
    (tmp_path / "new.csv").write_text("id,review\n1,good film 1\n2,bad movie 2\n")
    (tmp_path / "new.jsonl").write_text("\n".join(json.dumps({"review": t}) for t in texts))
    wanted = [item.stored.tolist() for item in read(scores, *texts)]
    for name in ("new.csv", "new.jsonl"):
        items = read(scores, str(tmp_path / name))
        assert [item.stored.tolist() for item in items] == wanted
        assert [item.row for item in items] == [1, 2]
    for given in ("\n".join(texts), (tmp_path / "new.jsonl").read_text()):
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        assert [item.stored.tolist() for item in read(scores, "-")] == wanted


def test_scores_are_scaled_as_in_training(scores: Any, tmp_path: Path) -> None:
    found = list(scores.labelled(write(tmp_path / "y.csv", 10)))
    scaling = scores.task.encoding.targets
    raw = [float(item.target) * scaling.scale[0] + scaling.offset[0] for item in found]
    assert raw == pytest.approx([n / 8 for n in range(10)], abs=1e-5)


def test_files_of_lines_are_read_line_by_line(tmp_path: Path) -> None:
    for name, words in (("Czech", "Novak\nDvorak\n"), ("Greek", "Pappas\nKalos\n")):
        (tmp_path / f"{name}.txt").write_text(words * 5)
    reader = reader_for(tmp_path)
    found = list(reader.labelled(tmp_path))
    assert [int(item.target) for item in found] == [0] * 10 + [1] * 10
    assert len(read(reader, str(tmp_path / "Greek.txt"))) == 10
    assert len(read(reader, "Novotny")) == 1


def test_folders_of_sites_and_of_classes_are_labelled(tmp_path: Path) -> None:
    for site in ("north", "south"):
        for label in ("ham", "spam"):
            (tmp_path / site / label).mkdir(parents=True)
            for n in range(4):
                (tmp_path / site / label / f"{n}.txt").write_text(f"see you {label} {n}")
    reader = reader_for(tmp_path, clients_by="folder")
    assert len(list(reader.labelled(tmp_path))) == 16
    found = list(reader.labelled(tmp_path / "north"))
    assert torch.stack([item.target for item in found]).tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("n.csv", "text,stars\nfoo,1\n", r"review"),
        ("n.csv", "review,stars\nfoo bar,many\n", r"^--data: .*line 2.*'many' is not a number"),
        ("n.jsonl", "oops\n", r"^--data: .*n\.jsonl, line 1: 'oops' is no JSON"),
    ],
)
def test_labelled_texts_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    keys = {"text_column": "review", "label_column": "stars", "tokens": "words", "length": 4}
    reader = reader_for(write(tmp_path / "x.csv"), **keys)
    (tmp_path / name).write_text(content)
    with pytest.raises(FedlabError, match=sentence):
        list(reader.labelled(tmp_path / name))


def test_an_unknown_class_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\n" + "good one,happy\nbad one,sad\n" * 9)
    reader = reader_for(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text("text,label\ngood one,hapy\n")
    with pytest.raises(FedlabError, match=r"^--data: .*Did you mean 'happy'"):
        list(reader.labelled(tmp_path / "y.csv"))


def test_characters_at_which_unicode_breaks_lines_break_none(
    scores: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "good\u2028film\x0c1\x85"
    (tmp_path / "new.jsonl").write_text(json.dumps({"review": odd}, ensure_ascii=False) + "\n")
    assert len(read(scores, str(tmp_path / "new.jsonl"))) == 1
    given = io.TextIOWrapper(io.BytesIO(f"{odd}\nbad movie 2\n".encode()))
    monkeypatch.setattr("sys.stdin", given)
    assert len(read(scores, "-")) == 2
