"""Bad input, texts: tables, JSON lines, folders and sites of a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from tests.cli.conftest import Refused, Typed

WORDS = ("a dull and boring film", "a fine and lively film")
ROWS = [f"{WORDS[n % 2]} {n},{('no', 'yes')[n % 2]}" for n in range(40)]
GOOD = "text,label\n" + "\n".join(ROWS) + "\n"
LINES = "".join(
    '{"text": "%s", "label": "%s"}\n' % tuple(row.rsplit(",", 1))  # noqa: UP031
    for row in ROWS
)


def write(name: str, content: str | bytes) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def scenario(keys: dict) -> None:
    own = {"name": "text", "partition": {"name": "iid", "clients": 2}} | keys
    if own.get("sites") or own.get("clients_by"):
        del own["partition"]
    raw = {"rounds": 1, "data": own, "model": {"name": "fasttext"}, "engine": {"name": "inline"}}
    Path("own.toml").write_text(tomli_w.dumps(raw))


AS_PROGRAMS_WRITE = {
    "utf-16": GOOD.encode("utf-16"),
    "latin-1": GOOD.replace("yes", "sí").encode("latin-1"),
    "byte order mark": GOOD.encode("utf-8-sig"),
    "semicolons": GOOD.replace(",", ";").encode(),
    "tabs": GOOD.replace(",", "\t").encode(),
    "bars": GOOD.replace(",", "|").encode(),
    "an empty column": "".join(f"{line},\n" for line in GOOD.splitlines()).encode(),
    "windows": GOOD.replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("content", AS_PROGRAMS_WRITE.values(), ids=AS_PROGRAMS_WRITE)
def test_texts_as_programs_write_them_are_read(typed: Typed, content: bytes) -> None:
    write("mein Ordner/übung eins.csv", content)
    scenario({"path": "mein Ordner/übung eins.csv"})
    assert typed("check", "own.toml").code == 0
    assert typed("data", "inspect", "mein Ordner/übung eins.csv").code == 0


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv", GOOD.encode("utf-16-le"), "t.csv, line 1: there is a zero byte"),
        ("t.csv", "", "t.csv is empty; its first line names the columns"),
        ("t.csv", "\n\n", "t.csv is empty; its first line names the columns"),
        ("t.csv", GOOD.replace("yes", "no"), "t.csv holds texts of a single class, 'no'"),
        ("t.csv", GOOD + GOOD, "t.csv, line 42: this row is the header once more"),
        ("t.csv", GOOD.replace("label", "text", 1), "line 1: two columns are called 'text'"),
        ("t.csv", GOOD.partition("\n")[2], "the first line should name the columns, and looks lik"),
        ("t.csv", GOOD + "well, fine,yes\n", "t.csv, line 42: this row has too many fields: 3"),
        ("t.jsonl", LINES + '{"text": "a\n', 't.jsonl, line 41: \'{"text": "a\' is no JSON'),
        ("t.jsonl", LINES + '["a", "no"]\n', 't.jsonl, line 41: \'["a", "no"]\' is no JSON object'),
        ("t.jsonl", LINES + '{"text": ["a"]}\n', "t.jsonl, line 41, key 'text': a list stands wh"),
        ("t.jsonl", LINES.encode("utf-16"), "t.jsonl cannot be read: it is UTF-16 text; save it"),
        ("t.json", '{"data": [{"text": "a"}]}', "t.json, line 1, key 'data': a list stands where"),
        ("t.jsonl", "", "t.jsonl is empty; each of its lines holds a JSON object"),
    ],
)
def test_texts_that_cannot_be_read_are_refused_alike_by_check_and_inspect(
    refused: Refused, name: str, content: str | bytes, sentence: str
) -> None:
    write(name, content)
    scenario({"path": name})
    (said,) = refused("check", "own.toml")
    assert said.startswith("data.path: ")
    assert sentence in said
    (said,) = refused("data", "inspect", name)
    assert sentence in said
    assert not said.startswith((":", "data.path"))
    (said,) = refused("finetune", "--data", name, "--backbone", "fasttext", "--dry-run")
    assert sentence in said
    assert "data.path" not in said


@pytest.mark.parametrize(
    ("content", "keys", "sentence"),
    [
        (
            GOOD + "well,\n",
            {},
            "line 42, column 'label': there is no class; data.on_error = 'skip'",
        ),
        (GOOD + ",yes\n", {}, "line 42, column 'text': there is no text; data.on_error = 'skip'"),
        (GOOD + "well,NA\n", {}, "'NA' stands for a missing one; data.missing says which words do"),
        (GOOD + "well,maybe\n", {}, "the class 'maybe' has one example"),
        (GOOD, {"text_column": "txt"}, "data.text_column: HERE/t.csv has an unknown column 'txt'."),
        (GOOD, {"label_column": "lable"}, "has an unknown column 'lable'. Did you mean 'label'?"),
        (GOOD, {"clients_by": "site"}, "data.clients_by: HERE/t.csv has an unknown column 'site'"),
        (GOOD, {"clients_by": "folder"}, "data.path: there is no folder HERE/t.csv"),
        (GOOD, {"text_column": "label", "label_column": "label"}, "they name one column twice"),
        (GOOD, {"encoding": "utf-88"}, "data.encoding: 'utf-88' is no encoding; utf-8, utf-16,"),
        (GOOD, {"encoding": "utf-32"}, "t.csv, line 1: this is no text in utf-32 (byte 0x"),
        (GOOD, {"path": "nowhere.csv"}, "data.path: there is no file HERE/nowhere.csv"),
        (GOOD, {"path": "empty"}, "data.path: HERE/empty holds no text files: a folder of them fo"),
        (GOOD, {"path": "own.toml"}, "data.text_column: HERE/own.toml has no column 'text'"),
        (GOOD, {"sites": [{"name": "a", "path": "t.csv"}] * 2}, "two sites are called 'a'"),
    ],
)
def test_keys_that_do_not_fit_the_texts_are_named(
    refused: Refused, content: str, keys: dict, sentence: str
) -> None:
    write("t.csv", content)
    Path("empty").mkdir()
    scenario(keys if "sites" in keys else {"path": "t.csv"} | keys)
    (said,) = refused("check", "own.toml")
    assert sentence in said.replace(str(Path.cwd()), "HERE")


def test_two_sites_have_files_of_their_own(refused: Refused) -> None:
    write("t.csv", GOOD)
    scenario({"sites": [{"name": n, "path": "t.csv"} for n in ("north", "south")]})
    (said,) = refused("check", "own.toml")
    assert said.startswith("data.sites: 'north' and 'south' have one path, ")


def test_a_site_without_a_class_and_one_of_three_rows_are_learned_from(typed: Typed) -> None:
    write("s/north/t.csv", GOOD)
    write("s/north.csv", GOOD)
    write("s/south.csv", GOOD.replace("yes", "no"))
    write("s/west.csv", "text,label\none more film,odd\na film,yes\nthe film,no\n")
    scenario({"sites": [{"name": n, "path": f"s/{n}.csv"} for n in ("north", "south", "west")]})
    outcome = typed("check", "own.toml")
    assert outcome.code == 0, outcome
    assert any("not every site has texts of every class" in line for line in outcome.errors)


def test_rows_that_inspect_leaves_out_are_left_out_of_its_scenario(typed: Typed) -> None:
    write("t.csv", GOOD + "well,\n")
    assert typed("data", "inspect", "t.csv", "-o", "start.toml").code == 0
    assert typed("check", "start.toml").code == 0


FOLDERS = {
    "one class": ({"a/1.txt": "x", "a/2.txt": "y"}, "holds texts of a single class, 'a'"),
    "an empty class": ({"a/1.txt": "x", "b/1.md": "y"}, "t/b holds no text files"),
    "an empty text": ({"a/1.txt": "x", "a/2.txt": " ", "b/1.txt": "y"}, "a/2.txt holds no text"),
    "another encoding": (
        {"a/1.txt": "x", "a/2.txt": "é".encode("latin-1"), "b/1.txt": "y"},
        "a/2.txt cannot be read: line 1 is not UTF-8 (byte 0xe9, 'é' in Windows-1252)",
    ),
    "utf-16": (
        {"a/1.txt": "x", "a/2.txt": "ex".encode("utf-16"), "b/1.txt": "y"},
        "a/2.txt cannot be read: it is UTF-16 text; save it as UTF-8",
    ),
}


@pytest.mark.parametrize(("files", "sentence"), FOLDERS.values(), ids=FOLDERS)
def test_folders_of_texts_that_cannot_serve_are_refused_with_their_place(
    refused: Refused, files: dict, sentence: str
) -> None:
    for name, content in files.items():
        write(f"t/{name}", content)
    scenario({"path": "t"})
    (said,) = refused("check", "own.toml")
    assert sentence in said


def test_a_dry_run_writes_no_scenario_that_could_not_run(refused: Refused) -> None:
    write("t.csv", GOOD)
    (said,) = refused(
        "finetune", "--data", "t.csv", "--backbone", "resnet18", "--pretrained=false", "--dry-run"
    )
    assert "takes" in said
    assert not list(Path().glob("*resnet18*.toml"))
