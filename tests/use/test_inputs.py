"""What is given to predict and evaluate is read by the rules of training."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from PIL import Image

from fedlab.data.dataset import Encoding, Examples, Scaling, Task
from fedlab.data.sources.series_csv import SeriesCsv
from fedlab.errors import FedlabError
from fedlab.use.evaluate import read_labelled as labelled_at
from fedlab.use.inputs import Item, read_inputs, stacked
from fedlab.use.loading import Trained

PICTURES = Task("classification", "image", (3, 4, 4), 2, ("cat", "dog"))
SCALING = Scaling(("level",), (0.0,), (1.0,))
SERIES = Task("regression", "series", (3, 1), 1, encoding=Encoding(features=SCALING))
TABLE = Task(
    "classification",
    "tabular",
    (1,),
    2,
    ("no", "yes"),
    encoding=Encoding(features=SCALING),
)
TEXTS = Task(
    "classification",
    "text",
    (4,),
    2,
    ("ham", "spam"),
    vocabulary=4,
    input_padding=0,
    encoding=Encoding(("<padding>", "<unknown>", "a", "b"), unknown=1),
)


def paint(path: Path, level: int = 0, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (4, 4), level).save(path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_folder_stands_for_its_files_without_hidden_ones(tmp_path, capsys):
    for name in ("b.PNG", "deep/a.jpg", ".hidden.png", "__MACOSX/._a.png"):
        paint(tmp_path / name)
    write(tmp_path / "list.txt", "x")
    found = read_inputs(PICTURES, [str(tmp_path)])
    assert [Path(item.source).name for item in found] == ["b.PNG", "a.jpg"]
    said = capsys.readouterr().err
    assert said.strip().endswith("left out 3 files: .txt × 1, __MACOSX × 1, hidden × 1")
    with pytest.raises(FedlabError, match="holds no text files"):
        read_inputs(TEXTS, [str(tmp_path / "deep")])


def test_a_name_that_is_not_utf8_is_shown_escaped(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    paint(tmp_path / "x.png")
    try:
        os.rename(tmp_path / "x.png", raw)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    (item,) = read_inputs(PICTURES, [os.fsdecode(raw)])
    assert item.source.endswith(r"caf\xe9.png")


def test_a_text_file_is_read_without_its_mark(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffab".encode())
    assert stacked(read_inputs(TEXTS, [str(path)])).tolist() == [[2, 3, 0, 0]]


def test_an_empty_text_is_named_by_its_file(tmp_path):
    path = write(tmp_path / "x.txt", "")
    with pytest.raises(FedlabError, match=r"the text in .*x\.txt is empty"):
        read_inputs(TEXTS, [str(path)])


def levels(found: list[Item]) -> list[float]:
    return stacked(found).flatten().tolist()


def columns(**keys: str) -> SeriesCsv.Settings:
    return SeriesCsv.Settings(path="x.csv", columns=("level",), **keys)


def read_labelled(task: Task, path: Path) -> Examples:
    trained = SimpleNamespace(task=task, scenario=SimpleNamespace(data=None))
    (examples,) = labelled_at(cast(Trained, trained), path)
    return examples


def test_a_series_is_sorted_as_those_of_the_run(tmp_path, capsys):
    path = write(tmp_path / "x.csv", "day,level\n2024-01-03,3\n2024-01-01,1\n2024-01-02,2\n")
    found = read_inputs(SERIES, [str(path)], columns(time="day"))
    assert levels(found) == [1, 2, 3]
    assert found[0].row == "1 to 3 in the order of 'day'"
    assert capsys.readouterr().err == ""
    assert levels(read_inputs(SERIES, [str(path)])) == [3, 1, 2]
    assert "the times in column 'day' do not ascend (line 3" in capsys.readouterr().err
    path = write(tmp_path / "y.csv", "day,level\n2024-01-03,3\n2024-01-03,1\n2024-01-02,2\n")
    with pytest.raises(FedlabError, match=r"y\.csv, line 3, column 'day': the time .* line 2, too"):
        read_inputs(SERIES, [str(path)], columns(time="day"))


def test_several_series_of_a_file_are_told_apart_as_those_of_the_run(tmp_path):
    path = write(tmp_path / "x.csv", "site,level\na,1\na,2\nb,3\na,3\nb,4\nb,5\nb,6\n")
    found = read_inputs(SERIES, [str(path)], columns(group="site"))
    assert [item.row for item in found] == ["1 to 3 of 'a'", "2 to 4 of 'b'"]
    assert levels(found) == [1, 2, 3, 4, 5, 6]
    path = write(tmp_path / "x.csv", "site,level\na,1\na,2\na,3\nb,4\n")
    with pytest.raises(FedlabError, match=r"x\.csv has 1 rows of 'b', and the network reads 3"):
        read_inputs(SERIES, [str(path)], columns(clients_by="site"))


def test_evaluation_takes_the_part_that_is_held_out(tmp_path, capsys):
    for part, level in (("train", 9), ("val", 200)):
        for name in ("cat", "dog"):
            paint(tmp_path / part / name / "x.png", level)
    examples = read_labelled(PICTURES, tmp_path)
    assert examples.inputs.unique().tolist() == [200]
    assert examples.targets.tolist() == [0, 1]
    assert "note: --data: evaluated on the part 'val'" in capsys.readouterr().err


def test_evaluation_looks_at_folders_as_training_does(tmp_path, capsys):
    paint(tmp_path / "cat/deep/x.PPM", 7, "RGB")
    paint(tmp_path / "dog /y.png", 8)
    write(tmp_path / "dog /.ipynb_checkpoints/z.png", "no picture")
    write(tmp_path / "cat/Thumbs.db", "x")
    assert read_labelled(PICTURES, tmp_path).targets.tolist() == [0, 1]
    assert "left out 2 files: .db × 1, hidden × 1" in capsys.readouterr().err


def test_evaluation_counts_the_files_that_cannot_be_read(tmp_path):
    paint(tmp_path / "cat/x.png")
    for name in "yz":
        write(tmp_path / f"dog/{name}.png", "no picture")
    with pytest.raises(FedlabError, match=r"--data: .*y\.png is not a .* \(1 more of 3 inputs"):
        read_labelled(PICTURES, tmp_path)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("level,label\n1,yes\n2,\n", "line 3: there is no class"),
        ("level,label\n1,yes\n2,NaN\n", r"line 3: unknown class 'NaN'"),
        ("level,label,label\n1,yes,no\n", "two columns are called 'label'"),
        ("level,label\n1,yes\n2\n", "line 3: this row has too few fields"),
        ("level,level,label\n1,2,yes\n", "two columns are called 'level'"),
    ],
)
def test_a_labelled_table_is_refused_by_its_line(tmp_path, rows, sentence):
    path = write(tmp_path / "x.csv", rows)
    with pytest.raises(FedlabError, match=rf"x\.csv.*{sentence}"):
        read_labelled(TABLE, path)


def test_labels_of_a_table_count_without_spaces(tmp_path):
    path = write(tmp_path / "x.csv", "label , level\n yes,1\nno ,2\n")
    examples = read_labelled(TABLE, path)
    assert examples.targets.tolist() == [1, 0]
    assert torch.equal(examples.inputs, torch.tensor([[1.0], [2.0]]))
