"""A user's table: what is read, what is refused, and what is said of it."""

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from fedlab.data import task_file
from fedlab.data.sources.table import Table
from fedlab.data.task_changes import differences
from fedlab.errors import FedlabError

HEADER = ["age", "ward", "seen", "site", "ill"]


def rows(count: int = 60) -> list[list[str]]:
    """Return rows of a number, a category, a date, a client, a class."""
    draw = np.random.default_rng(5)
    return [
        [
            f"{draw.normal(50, 9):.2f}",
            ["a", "b", "c"][n % 3],
            str(date(2020, 1, 1) + timedelta(days=int(draw.integers(900)))),
            ["north", "south"][n % 2],
            ["no", "yes"][int(draw.random() < 0.4)],
        ]
        for n in range(count)
    ]


def text(lines: list[list[str]], separator: str = ",", header: list[str] | None = None) -> str:
    """Return rows as a text file holds them."""
    return "".join(f"{separator.join(line)}\n" for line in [header or HEADER, *lines])


def write(path: Path, lines: list[list[str]], separator: str = ",") -> Path:
    """Write a table and return its path."""
    path.write_text(text(lines, separator), encoding="utf-8")
    return path


def load(**keys):
    """Return the data set that the keys ask for."""
    return Table(Table.Settings(**{"target": "ill", **keys})).load(7)


def same(first, second) -> bool:
    """Return whether two data sets hold the same numbers."""
    pairs = ((first.train, second.train), (first.test, second.test))
    return all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets) for a, b in pairs
    )


def test_columns_become_scaled_numbers_one_hot_vectors_and_parts_of_dates(tmp_path):
    data = load(path=str(write(tmp_path / "t.csv", rows())), clients_by="site")
    table = data.task.encoding.table
    assert [(c.name, c.kind) for c in table.columns] == [
        ("age", "number"),
        ("ward", "category"),
        ("seen", "date"),
    ]
    assert data.task.input_shape == (1 + 3 + 4,) == (len(table.features),)
    assert data.task.labels == ("no", "yes")
    train = data.train.inputs
    assert train[:, [0, 4, 5, 6]].mean(0).numpy() == pytest.approx(0, abs=1e-5)
    assert train[:, 0].std(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert set(train[:, 1:4].sum(1).tolist()) == {1.0}
    assert data.train.group_names == data.test.group_names == ("north", "south")
    assert np.bincount(data.test.groups).tolist() == [6, 6]
    said = " ".join(data.notes)
    assert "numbers 'age'; categories 'ward'; dates 'seen'" in said
    assert "2 classes: 'no'" in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_usual_encoding_and_separator_gives_the_same_data(tmp_path, encoding, separator):
    lines = rows()
    for line in lines[::3]:
        line[1] = "Köln"
    (tmp_path / "utf-8.csv").write_text(text(lines), encoding="utf-8")
    (tmp_path / "other.csv").write_bytes(text(lines, separator).encode(encoding))
    first = load(path=str(tmp_path / "utf-8.csv"))
    other = load(path=str(tmp_path / "other.csv"))
    assert same(first, other)
    assert other.task.encoding.table.columns[1].values == ("Köln", "b", "c")
    told = [note for note in other.notes if "Windows-1252" in note]
    assert len(told) == (encoding == "cp1252")


def test_decimal_commas_are_numbers(tmp_path):
    lines = rows()
    first = load(path=str(write(tmp_path / "points.csv", lines)))
    commas = [[line[0].replace(".", ","), *line[1:]] for line in lines]
    assert same(first, load(path=str(write(tmp_path / "commas.csv", commas, ";"))))


def test_parquet_gives_what_csv_gives(tmp_path):
    lines = rows()
    columns = dict(zip(HEADER, zip(*lines, strict=True), strict=True))
    columns["age"] = [float(value) for value in columns["age"]]
    columns["seen"] = [date.fromisoformat(value) for value in columns["seen"]]
    pyarrow.parquet.write_table(
        pyarrow.table({name: list(c) for name, c in columns.items()}), tmp_path / "t.parquet"
    )
    from_csv = load(path=str(write(tmp_path / "t.csv", lines)))
    assert same(from_csv, load(path=str(tmp_path / "t.parquet")))


def test_sites_are_files_whose_columns_may_come_in_another_order(tmp_path):
    lines = rows()
    whole = load(path=str(write(tmp_path / "t.csv", lines)), clients_by="site", drop=["no"] * 0)
    sites = []
    for name in ("north", "south"):
        own = [line for line in lines if line[3] == name]
        order = [0, 1, 2, 4] if name == "north" else [4, 2, 1, 0]
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([line[k] for k in order] for line in [HEADER, *own])
        sites.append({"name": name, "path": str(tmp_path / f"{name}.csv")})
    split = load(sites=sites)
    assert split.train.group_names == ("north", "south")
    assert len(split.train) == len(whole.train)
    fitted, expected = split.task.encoding.table.fitted, whole.task.encoding.table.fitted
    assert len(fitted.offset) == len(expected.offset)
    by_file = load(path=str(folder_of(tmp_path, sites)), clients_by="file")
    assert same(split, by_file)
    assert by_file.train.group_names == ("north", "south")


def folder_of(place: Path, sites: list[dict[str, str]]) -> Path:
    """Return a folder that holds the sites' files and nothing else."""
    folder = place / "all"
    folder.mkdir()
    for site in sites:
        (folder / Path(site["path"]).name).write_bytes(Path(site["path"]).read_bytes())
    return folder


@pytest.mark.parametrize("word", ["", "?", "NA", "NaN", "null", "-", "N/A"])
@pytest.mark.parametrize("missing", ["indicator", "mean", "most-frequent"])
def test_missing_values_are_filled_or_indicated(tmp_path, word, missing):
    lines = rows()
    for line in lines[:8]:
        line[0] = line[1] = word
    data = load(path=str(write(tmp_path / "t.csv", lines)), missing=missing)
    assert torch.isfinite(data.train.inputs).all()
    assert data.task.input_shape == ((12,) if missing == "indicator" else (10,))
    assert any("age" in note and f"data.missing = '{missing}'" in note for note in data.notes)


def test_rows_with_missing_values_can_be_dropped_or_refused(tmp_path):
    lines = rows()
    lines[4][1] = "?"
    path = str(write(tmp_path / "t.csv", lines))
    dropped = load(path=path, missing="drop")
    assert len(dropped.train) + len(dropped.test) == 59
    assert any("left out 1 of 60 rows" in note for note in dropped.notes)
    with pytest.raises(FedlabError, match=r"line 6, column 'ward': there is no value"):
        load(path=path, missing="refuse")


def test_identifiers_constants_and_empty_columns_are_no_inputs_and_are_named(tmp_path):
    lines = [[*line[:4], f"P{n:03}", str(n), "same", "", line[4]] for n, line in enumerate(rows())]
    header = [*HEADER[:4], "patient", "row", "unit", "comment", "ill"]
    (tmp_path / "t.csv").write_text(text(lines, ",", header))
    data = load(path=str(tmp_path / "t.csv"), clients_by="site")
    assert [column.name for column in data.task.encoding.table.columns] == ["age", "ward", "seen"]
    said = "\n".join(data.notes)
    assert "'patient' is no input: it has another value in each row" in said
    assert "'row' is no input: it numbers the rows" in said
    assert "'unit' is no input: all its values are 'same'" in said
    assert "'comment' is no input: it is empty" in said
    kept = load(path=str(tmp_path / "t.csv"), columns={"row": "number"})
    assert "row" in [column.name for column in kept.task.encoding.table.columns]


def test_kinds_can_be_said_and_columns_dropped(tmp_path):
    lines = [[str(30 + n % 4), *line[1:]] for n, line in enumerate(rows())]
    path = str(write(tmp_path / "t.csv", lines))
    table = load(path=path, columns={"age": "category"}, drop=["seen", "site"]).task.encoding.table
    assert table.columns[0].values == ("30", "31", "32", "33")
    assert [column.name for column in table.columns] == ["age", "ward"]


def test_rare_categories_share_no_input(tmp_path):
    lines = [[line[0], f"w{n % 30 if n < 30 else 0}", *line[2:]] for n, line in enumerate(rows())]
    data = load(path=str(write(tmp_path / "t.csv", lines)), most_values=5)
    assert len(data.task.encoding.table.columns[1].values) == 5
    assert any("'ward' has more than 5 values" in note for note in data.notes)


@pytest.mark.parametrize(
    ("values", "keys", "kind", "labels"),
    [
        (["0", "1"], {}, "classification", ("0", "1")),
        (["1.0", "2", "3"], {}, "classification", ("1", "2", "3")),
        (["0", "1"], {"positive": "0"}, "classification", ("1", "0")),
        (["1", "2", "3"], {"target_kind": "regression"}, "regression", ("ill",)),
        (["1.5", "2.5", "7.25"], {}, "regression", ("ill",)),
        (["1.5", "2.5"], {"target_kind": "classification"}, "classification", ("1.5", "2.5")),
    ],
)
def test_the_task_follows_from_the_target_and_can_be_said(tmp_path, values, keys, kind, labels):
    lines = [[*line[:4], values[n % len(values)]] for n, line in enumerate(rows())]
    data = load(path=str(write(tmp_path / "t.csv", lines)), **keys)
    assert (data.task.kind, data.task.labels) == (kind, labels)
    if kind == "regression":
        scaling = data.task.encoding.targets
        raw = data.train.targets.double() * scaling.scale[0] + scaling.offset[0]
        assert set(np.round(raw.flatten().numpy(), 3)) == {float(value) for value in values}


def test_each_client_may_be_scaled_by_its_own_rows(tmp_path):
    lines = rows(80)
    for line in lines[1::2]:
        line[0] = str(float(line[0]) * 100)
    path = str(write(tmp_path / "t.csv", lines))
    own = load(path=path, clients_by="site", statistics="client")
    for group in (0, 1):
        column = own.train.inputs[own.train.groups == group, 0]
        assert column.mean().item() == pytest.approx(0, abs=1e-5)
        assert column.std(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert own.task.encoding.table.clients == ("north", "south")
    assert own.task.encoding.table.by_client[0] != own.task.encoding.table.by_client[1]


def test_a_test_file_is_encoded_by_the_training_rows(tmp_path):
    train, test = rows(40), rows(60)[40:]
    test[0][1] = "never seen"
    data = load(
        path=str(write(tmp_path / "a.csv", train)),
        test_path=str(write(tmp_path / "b.csv", test)),
        clients_by="site",
    )
    assert (len(data.train), len(data.test)) == (40, 20)
    assert data.test.inputs[0, 1:4].tolist() == [0, 0, 0]
    assert data.test.groups.tolist() == [0, 1] * 10


def test_the_encoding_outlives_a_run_folder(tmp_path):
    path = str(write(tmp_path / "t.csv", rows()))
    data = load(path=path, clients_by="site", statistics="client")
    (tmp_path / "task.json").write_text(task_file.dumps(data.task))
    assert task_file.read(tmp_path / "task.json") == data.task
    other = load(path=path, clients_by="site", statistics="client", drop=["ward"])
    told = "; ".join(differences(data.task, other.task))
    assert "inputs 'ward = a', 'ward = b', 'ward = c' are gone" in told


def changed(row: int, column: int, value: str) -> list[list[str]]:
    """Return rows with one other field; row 0 stands on line 2."""
    lines = rows()
    lines[row][column] = value
    return lines


T = "t.csv"
REFUSED = [
    ({T: ""}, {}, r"data.path: .*t.csv is empty; its first line names the columns"),
    ({T: "age,ill\n"}, {}, r"t.csv has a header and no rows"),
    ({T: "1,2\n3,4\n"}, {}, r"t.csv, line 1: the first line holds numbers alone"),
    ({T: "a,b,a\n1,2,3\n"}, {}, r"line 1: two columns are called 'a' \(columns 1 and 3\)"),
    ({T: "a,ill\n1,x\n2\n"}, {}, r"t.csv, line 3: this row has too few fields: 1, and the header"),
    ({T: "a,ill\n1,x\n2,y,3\n"}, {}, r"line 3: this row has too many fields: 3"),
    ({T: 'a,ill\n1,"x\n'}, {}, r"t.csv, line 2: this row is not CSV"),
    ({T: "a,ill\n1,x\0\n"}, {}, r"t.csv, line 2: there is a zero byte"),
    ({T: b"a,ill\n1,\x81\n"}, {}, r"t.csv, line 2: this is no text in cp1252"),
    ({T: b"a,ill\n1,\xe4\n"}, {"encoding": "utf-8"}, r"line 2: this is no text in utf-8"),
    ({T: text(rows())}, {"target": "sick"}, r"data.target: .*unknown column 'sick'. Known: age"),
    ({T: text(rows())}, {"clients_by": "sites"}, r"data.clients_by: .*Did you mean 'site'\?"),
    ({T: text(rows())}, {"columns": {"agge": "number"}}, r"data.columns: unknown column 'agge'"),
    ({T: text(changed(3, 4, "?"))}, {}, r"line 5, column 'ill': there is no target; .*on_error"),
    (
        {T: text(changed(3, 3, ""))},
        {"clients_by": "site"},
        r"line 5, column 'site': there is no client",
    ),
    (
        {T: text(changed(9, 0, "12O"))},
        {},
        r"t.csv, line 11, column 'age': '12O' is not a number, and 98.3 % of the column's values",
    ),
    (
        {T: text(rows())},
        {"columns": {"ward": "number"}},
        r"line 2, column 'ward': 'a' is not a number \(59 more",
    ),
    ({T: text(changed(5, 2, "soon"))}, {}, r"line 7, column 'seen': 'soon' is not a date such as"),
    (
        {T: text(changed(0, 4, "maybe"))},
        {"target_kind": "regression"},
        r"line 2, column 'ill': 'maybe' is not a number",
    ),
    (
        {T: text([[*line[:4], "no"] for line in rows()])},
        {},
        r"data.target: all rows of t.csv are of one class, 'no'",
    ),
    (
        {T: text([[*line[:4], f"p{n}"] for n, line in enumerate(rows())])},
        {},
        r"has 60 different values in 60 rows, which are no classes",
    ),
    (
        {T: text([[*line[:4], f"{n} EUR"] for n, line in enumerate(rows())])},
        {},
        r"column 'ill' of t.csv holds words, not numbers: values such as '0 EUR' look like",
    ),
    (
        {T: text([[*line[:4], "2.5"] for line in rows()])},
        {"target_kind": "regression"},
        r"holds 2.5 in every row; there is nothing to learn",
    ),
    ({T: text(rows())}, {"positive": "Yes"}, r"data.positive: unknown class 'Yes'. Did you mean"),
    ({T: text(rows())}, {"statistics": "client"}, r"data.statistics: 'client' needs to know who"),
    ({T: text(rows())}, {"drop": ["age", "ward", "seen", "site"]}, r"no column is left to learn"),
    (
        {T: text([["", *line[1:]] for line in rows()])},
        {"missing": "drop"},
        r"data.missing: 'drop' leaves no row",
    ),
    (
        {T: text(rows()), "b.csv": text(changed(1, 4, "perhaps"))},
        {"test_path": "b.csv"},
        r"data.test_path: b.csv, line 3, column 'ill': unknown class 'perhaps'",
    ),
    (
        {T: text(rows()), "b.csv": text(changed(1, 3, "east"))},
        {"test_path": "b.csv", "clients_by": "site"},
        r"b.csv, line 3, column 'site': unknown client 'east'",
    ),
    ({"t.parquet": b"PAR1 not really"}, {"path": "t.parquet"}, r"t.parquet is no Parquet file"),
    ({"d/readme.md": "x"}, {"path": "d"}, r"data.path: d holds no tables"),
    ({}, {}, r"data.path: there is no file t.csv"),
    (
        {T: text(rows()), "b.csv": text([line[1:] for line in rows()], ",", HEADER[1:])},
        {"path": None, "sites": [{"name": "x", "path": T}, {"name": "y", "path": "b.csv"}]},
        r"data.sites 'y': b.csv has other columns than t.csv: it lacks 'age'",
    ),
    (
        {T: text(rows())},
        {"path": None, "sites": [{"name": "x", "path": T}, {"name": "x", "path": T}]},
        r"data.sites: two sites are called 'x'",
    ),
]


@pytest.mark.parametrize(("files", "keys", "sentence"), REFUSED, ids=[case[2] for case in REFUSED])
def test_what_cannot_be_learned_from_is_refused_by_name(
    tmp_path, monkeypatch, files, keys, sentence
):
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FedlabError, match=sentence) as raised:
        load(**({"path": T} | keys))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "keys", [{}, {"path": "a", "sites": [{"name": "x", "path": "a"}]}], ids=["neither", "both"]
)
def test_a_path_or_sites_are_needed_not_both(keys):
    with pytest.raises(ValueError, match=r"; name one file or folder \(path\), or one for each"):
        Table.Settings(target="ill", **keys)


def test_an_encoding_is_one_of_text_that_python_knows():
    assert Table.Settings(path="a", target="ill", encoding="latin-1").encoding == "latin-1"
    for encoding in ("klingon", "hex", "utf\0"):
        with pytest.raises(ValueError, match="is no encoding; utf-8"):
            Table.Settings(path="a", target="ill", encoding=encoding)


def test_rows_without_a_target_can_be_skipped(tmp_path):
    path = str(write(tmp_path / "t.csv", changed(3, 4, "")))
    data = load(path=path, on_error="skip")
    assert len(data.train) + len(data.test) == 59
    assert any("left out 1 of 60 rows" in note for note in data.notes)


def test_a_site_of_three_rows_and_one_that_lacks_a_class_take_part(tmp_path):
    lines = rows()
    few = [[*line[:3], "tiny", "no"] for line in rows(3)]
    alone = [[*rows(1)[0][:3], "lone", "yes"]]
    data = load(path=str(write(tmp_path / "t.csv", lines + few + alone)), clients_by="site")
    assert data.train.group_names == ("lone", "north", "south", "tiny")
    assert set(data.train.groups.tolist()) == {0, 1, 2, 3}
    assert any("no row of 'lone' is in the test part" in note for note in data.notes)
