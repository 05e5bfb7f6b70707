"""What ``data inspect`` says of texts, and the scenario that it writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet

from fedlab.data.inspection import Contents, inspect
from fedlab.data.inspectors.texts import Texts
from fedlab.scenario.loading import check


def test_a_table_of_sentences_is_texts_and_a_scenario_to_start_from(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [f"{n},this is a rather good film {n},{'up' if n % 2 else 'down'}" for n in range(20)]
    path.write_text("id,comment,mood\n" + "\n".join(rows) + "\n")
    found = inspect(path)
    assert found.kind == "texts"
    assert found.classes == {"down": 10, "up": 10}
    assert dict(found.facts)["columns"] == "text 'comment', target 'mood'"
    partition = {"name": "iid", "clients": 2}
    content = {**found.scenario, "data": {**found.scenario["data"], "partition": partition}}
    content["rounds"] = 1
    assert check(content, "x").data.label_column == "mood"


def test_a_parquet_file_of_sentences_is_texts_and_one_of_words_a_table(tmp_path: Path) -> None:
    for name, words in (("sentences", "this is a rather good film"), ("wards", "surgery")):
        columns = {"said": [f"{words} {n % 3}" for n in range(30)], "mood": [0, 1, 1] * 10}
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / f"{name}.parquet")
    assert inspect(tmp_path / "sentences.parquet").kind == "texts"
    assert inspect(tmp_path / "wards.parquet").kind == "table"


def test_scores_are_a_regression_and_lines_are_examples(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"text": "word {n}", "score": {n / 7}}}\n' for n in range(60)))
    assert "regression" in dict(inspect(path).facts)["predicted"]
    names = tmp_path / "names"
    names.mkdir()
    for name in ("a", "b"):
        (names / f"{name}.txt").write_text("One\nTwo\nThree\n")
    found = inspect(names)
    assert found.layout == "an example a line, a file a class"
    assert "3 texts are there more than once" in found.notes


def test_a_table_of_numbers_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("age,height,label\n" + "".join(f"{n},{n * 2},{n % 2}\n" for n in range(30)))
    assert Texts().claim(Contents(path)) == 0
