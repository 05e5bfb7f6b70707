"""Pictures that a table lists: which file, class, client and part each is, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fedlab.data import inspection, picture_tables
from fedlab.data.dataset import Dataset
from fedlab.data.inspection import inspect
from fedlab.data.listed_pictures import PictureColumns, read_listed
from fedlab.data.picture_tables import recognised
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.scenario.parts import load_dataset
from tests.shared import scenario_with

KEYS = {"path_column": "image_id", "label_column": "dx"}


def load(**keys: Any) -> Dataset:
    source = datasets.get("imagefolder")
    found: Dataset = source(source.Settings(name="imagefolder", image_size=4, **keys)).load(0)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in two folders, whose red is their number, and none of a class."""
    for number in range(12):
        place = tmp_path / "images" / f"part {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 6), (10 * number, 0, 0)).save(place / f"I{number:02}.png")
    return tmp_path


def table(folder: Path, *lines: str, header: str = "image_id,dx,hospital", name: str = "") -> Path:
    path = folder / (name or "list.csv")
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def rows(numbers: range = range(12)) -> list[str]:
    return [
        f"I{n:02},{('nevus', 'melanoma')[n % 3 == 0]},{('north', 'south')[n % 2]}" for n in numbers
    ]


def red(data: Any) -> list[int]:
    return sorted((data.inputs[:, 0, 0, 0] // 10).tolist())


def test_a_row_says_the_class_and_the_client_of_the_picture_it_names(folder: Path) -> None:
    data = load(path=str(table(folder, *rows())), clients_by="hospital", **KEYS)
    assert data.task.labels == ("melanoma", "nevus")
    assert data.train.group_names == ("north", "south")
    numbers = data.train.inputs[:, 0, 0, 0] // 10
    assert (data.train.targets == (numbers % 3 != 0).long()).all()
    assert (numbers.numpy() % 2 == data.train.groups).all()
    assert sorted(red(data.train) + red(data.test)) == list(range(12))


@pytest.mark.parametrize(
    "called",
    ["{}", "{}.png", "images/part 0/{}.png", "./images/part 0/{}.png", "images\\part 0\\{}.png"],
)
def test_a_picture_may_be_called_by_its_path_or_its_name(folder: Path, called: str) -> None:
    lines = [f"{called.format(f'I{n:02}')},{n % 4}" for n in range(0, 12, 2)]
    data = load(path=str(table(folder, *lines, header="image_id,dx")), **KEYS)
    assert sorted(red(data.train) + red(data.test)) == list(range(0, 12, 2))


def test_a_column_says_what_is_held_out(folder: Path) -> None:
    parts = ["train"] * 8 + ["val", "val", "TEST", "testing"]
    lines = [f"{row},{part}" for row, part in zip(rows(), parts, strict=True)]
    path = table(folder, *lines, header="image_id,dx,hospital,split")
    data = load(path=str(path), part_column="split", **KEYS)
    assert (red(data.train), red(data.test)) == (list(range(8)), [10, 11])
    assert any("the 2 pictures of 'split' val are not used" in note for note in data.notes)


def test_sites_may_have_a_table_each(folder: Path) -> None:
    sites = [
        {"name": "a", "path": str(table(folder, *rows(range(6)), name="a.csv"))},
        {"name": "b", "path": str(table(folder, *rows(range(6, 12)), name="b.csv"))},
    ]
    data = load(sites=sites, **KEYS)
    assert data.train.group_names == ("a", "b")
    assert ((data.train.inputs[:, 0, 0, 0] // 10 >= 6).numpy() == data.train.groups).all()
    sites[1]["path"] = str(folder)
    with pytest.raises(FedlabError, match=r"data\.sites\.1\.path: .* is no file, and other sites"):
        load(sites=sites, **KEYS)


def test_tasks_without_classes_need_no_column_of_them(folder: Path) -> None:
    path = table(folder, *(f"I{n:02}" for n in range(12)), header="image_id")
    keys = {"name": "imagefolder", "path": str(path), "path_column": "image_id"}
    data = load_dataset(scenario_with({"data": {**keys, "task": "reconstruction"}}))
    assert data.task.kind == "reconstruction"
    assert len(data.train) + len(data.test) == 12


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("I99,nevus,north", "line 14, column 'image_id': 'I99': .* holds no such picture"),
        ("I01,,north", "line 14, column 'dx': it is empty"),
        ("I01,NA,north", "line 14, column 'dx': it is empty"),
        ("I01,nevus", "line 14"),
    ],
)
def test_a_row_that_cannot_serve_is_refused_with_its_place(
    folder: Path, line: str, sentence: str
) -> None:
    path = table(folder, *rows(), line)
    with pytest.raises(FedlabError, match=sentence):
        load(path=str(path), **KEYS)


def test_rows_that_cannot_serve_are_left_out_where_that_is_asked_for(folder: Path) -> None:
    data = load(path=str(table(folder, *rows(), "I99,nevus,north")), on_error="skip", **KEYS)
    assert len(data.train) + len(data.test) == 12
    assert any("left out 1 of 13 files" in note for note in data.notes)


def test_a_name_that_two_pictures_have_is_refused(folder: Path) -> None:
    (folder / "images" / "part 0" / "I01.png").write_bytes(
        (folder / "images" / "part 1" / "I01.png").read_bytes()
    )
    with pytest.raises(FedlabError, match=r"'I01': it may be .*part 0.* or .*part 1"):
        load(path=str(table(folder, *rows())), **KEYS)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"path_column": "image"}, "unknown column 'image'"),
        ({"label_column": "diagnosis"}, "unknown column 'diagnosis'"),
        ({"clients_by": "clinic"}, "unknown column 'clinic'"),
        ({"part_column": "hospital"}, "'north' is no part; it may be train, val or test"),
        ({"label_column": "one"}, "lists pictures of one class, '1', and needs two or more"),
    ],
)
def test_columns_that_cannot_serve_are_refused(
    folder: Path, keys: dict[str, str], sentence: str
) -> None:
    path = table(folder, *(f"{row},1" for row in rows()), header="image_id,dx,hospital,one")
    with pytest.raises(FedlabError, match=sentence):
        load(path=str(path), **(KEYS | keys))


def test_keys_of_tables_change_nothing_in_folders_which_a_note_says(folder: Path) -> None:
    data = load(path=str(folder / "images"), label_column="dx")
    assert any("data.label_column has no effect" in note for note in data.notes)
    with pytest.raises(
        FedlabError, match=r"data\.clients_by = 'hospital' is a column, and .* is a"
    ):
        load(path=str(folder / "images"), clients_by="hospital")


@pytest.mark.parametrize("named", ["list.csv", ""])
def test_inspecting_recognises_a_table_or_one_beside_the_pictures(folder: Path, named: str) -> None:
    path = table(folder, *rows())
    found = inspect(folder / named)
    assert (found.kind, found.path, found.examples) == ("pictures", path, 12)
    assert found.classes == {"melanoma": 4, "nevus": 8}
    assert found.sites == {"north": 6, "south": 6}
    data = found.scenario["data"]
    wanted = {**KEYS, "clients_by": "hospital", "path": str(path)}
    assert {key: data[key] for key in wanted} == wanted
    dataset = load_dataset(scenario_with({"data": dict(data)}))
    assert dataset.train.group_names == ("north", "south")


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        ("age,income", ["31,20", "44,30"]),
        ("image_id,width,height", ["I00,3,4", "I01,3,4"]),
        ("image_id,dx", ["J00,a", "J01,b"]),
    ],
)
def test_tables_of_other_things_are_not_taken_for_lists(
    folder: Path, header: str, lines: list[str]
) -> None:
    assert recognised(table(folder, *lines, header=header)) is None


@pytest.mark.parametrize(("most", "is_one"), [(2, False), (3, True), (4, True), (13, True)])
def test_of_very_many_files_the_first_ones_tell_what_a_table_lists(
    folder: Path, monkeypatch: pytest.MonkeyPatch, most: int, is_one: bool
) -> None:
    """The table itself is the first file; among two there is one picture, of twelve rows."""
    path = table(folder, *rows())
    monkeypatch.setattr(inspection, "MOST_FILES", most)
    monkeypatch.setattr(picture_tables, "MOST_FILES", most)
    monkeypatch.setattr(picture_tables, "_SOME", 0.1)
    assert (recognised(path) is not None) == is_one


def test_a_file_that_is_no_table_is_refused(folder: Path) -> None:
    path = table(folder, *rows(), name="pictures.zip")
    with pytest.raises(FedlabError, match=r"pictures\.zip is no folder, and no table of pictures"):
        load(path=str(path), **KEYS)


def test_what_is_only_tested_needs_no_part_for_training(folder: Path) -> None:
    columns = PictureColumns("image_id", "dx", None, "split")
    path = table(folder, *(f"{row},test" for row in rows()), header="image_id,dx,hospital,split")
    assert len(read_listed(path, columns, "--data", learns=False).test) == 12
    with pytest.raises(FedlabError, match="column 'split' has no row of the part train"):
        read_listed(path, columns, "data.path")
    path = table(folder, *rows())
    assert len(read_listed(path, columns, "--data", learns=False).train) == 12
    with pytest.raises(FedlabError, match="unknown column 'split'"):
        read_listed(path, columns, "data.path")


def test_the_table_for_training_is_read_where_there_are_several(folder: Path) -> None:
    table(folder, *rows(range(6, 12)), name="labels-a.csv")
    path = table(folder, *rows(range(6)), name="train.csv")
    found = inspect(folder)
    assert found.path == path
    assert found.notes[0] == (
        "'train.csv' says what the pictures are, and 'labels-a.csv', which is not read"
    )
