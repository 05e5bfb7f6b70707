"""Bad input, data sets of Hugging Face in folders and files: one sentence each, exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import tomli_w

from tests.cli.conftest import Refused

TEXTS = ["a fine and lively film", "a dull and boring film"] * 20
LABELS = [1, 0] * 20
CSV = "text,label\n" + "".join(f"{t},{n}\n" for t, n in zip(TEXTS, LABELS, strict=True))
JSON = "".join(f'{{"text": "{t}", "label": {n}}}\n' for t, n in zip(TEXTS, LABELS, strict=True))


@pytest.fixture(autouse=True)
def _no_bars() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def split(rows: int = 40, names: tuple[str, ...] = ("neg", "pos"), **columns: Any) -> Any:
    kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(names))}
    kinds |= {name: datasets.Value("string") for name in columns if name not in kinds}
    values = {"text": TEXTS[:rows], "label": LABELS[:rows]} | columns
    return datasets.Dataset.from_dict(values, features=datasets.Features(kinds))


def scenario(path: str, keys: dict | None = None, model: str = "fasttext") -> None:
    own = {"name": "huggingface", "path": path, "partition": {"name": "iid", "clients": 2}}
    raw = {"rounds": 1, "data": own | (keys or {}), "model": {"name": model}}
    Path("own.toml").write_text(tomli_w.dumps(raw | {"engine": {"name": "inline"}}))


def both(test: Any) -> Any:
    return datasets.DatasetDict({"train": split(), "test": test})


SAVED = {
    "no labels in test": (
        lambda: both(split(label=[-1] * 40)),
        "split 'test', row 1, column 'label': there is no class or number; data.test_split names",
    ),
    "no such column in test": (
        lambda: both(split().rename_column("label", "lable")),
        "data.test_split: the split 'test' has an unknown column 'label'. Did you mean 'lable'?",
    ),
    "no texts in test": (
        lambda: both(split().remove_columns("text")),
        "data.test_split: the split 'test' has an unknown column 'text'.",
    ),
    "a new class in test": (
        lambda: both(split(names=("neg", "neutral"))),
        "data.test_split: the split 'test' has an unknown class 'neutral'.",
    ),
    "no rows": (lambda: split(0), "a split has no rows"),
    "a missing text": (
        lambda: split(text=[*TEXTS[:-1], None]),
        "split 'train', row 40, column 'text': there is no text",
    ),
    "one class": (
        lambda: split(label=[1] * 40),
        "all rows are of one class, 'pos' in column 'label'; two or more are needed",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), SAVED.values(), ids=SAVED)
def test_splits_that_cannot_serve_are_refused_by_their_rows_and_columns(
    refused: Refused, make: Any, sentence: str
) -> None:
    make().save_to_disk("d")
    scenario("d")
    (said,) = refused("check", "own.toml")
    assert sentence in said


def test_a_row_without_a_client_is_refused(refused: Refused) -> None:
    split(who=["a", "b", "b", None] * 10).save_to_disk("d")
    scenario("d", {"clients_by": "who"})
    (said,) = refused("check", "own.toml")
    assert "split 'train', row 4, column 'who': there is no client" in said


def test_a_number_that_is_infinite_is_refused_by_its_row(refused: Refused) -> None:
    ages = [*map(float, range(39)), float("inf")]
    datasets.Dataset.from_dict({"age": ages, "label": LABELS}).save_to_disk("d")
    scenario("d", model="mlp")
    (said,) = refused("check", "own.toml")
    assert "split 'train', row 40, column 'age': inf is no number to learn from" in said


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("d.csv", CSV.encode("utf-16"), "d.csv, line 1: this is no text in utf-8 (byte 0xff)"),
        ("d.csv", CSV.replace("a f", "à f").encode("latin-1"), "line 2: this is no text in utf-8"),
        ("d.csv", "", "d.csv is empty; its first line names the columns"),
        ("d.csv", "text,label\n", "d.csv has a header and no rows"),
        ("d.csv", CSV + "a,b,c\n", "d.csv, line 42: this row has too many fields: 3"),
        ("d.csv", CSV.replace(",", ";"), "say which of 'text;label' holds what is predicted"),
        ("d.jsonl", JSON + '{"text": "a\n', 'd.jsonl, line 41: \'{"text": "a\' is no JSON'),
        ("d.jsonl", JSON + '["a"]\n', "d.jsonl, line 41: '[\"a\"]' is no JSON object"),
        ("d.jsonl", JSON + '{"text": "a"}\n', "split 'train', row 41, column 'label': there is no"),
        ("d.parquet", "PAR1", "d.parquet cannot be read as a data set of Hugging Face"),
        ("d.xlsx", "PK", "d.xlsx is none of .csv, .tsv, .json, .jsonl, .parquet, .arrow"),
        ("d/readme.md", "none", "d cannot be read as a data set of Hugging Face"),
        ("else.csv", CSV, "data.path: there is no file or folder HERE/d.csv"),
    ],
)
def test_files_that_cannot_be_read_are_refused_with_their_line_alone(
    refused: Refused, name: str, content: str | bytes, sentence: str
) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    scenario({"else.csv": "./d.csv", "d/readme.md": "d"}.get(name, name))
    (said,) = refused("check", "own.toml")
    assert said.startswith("data.")
    assert sentence in said.replace(str(Path.cwd()), "HERE")
