"""The sanity page says where each strategy came from, where it ended, or why it refused."""

import json
from pathlib import Path
from typing import Any

from benchmarks.sanity import parts
from benchmarks.sanity.__main__ import COLUMNS, outcome, text_of, write


def cell(first: float | None, last: float | None, learns: bool = True, **more: Any) -> Any:
    return {"loss": [first, last], "accuracy": 0.5, "learns": learns, **more}


def test_a_cell_says_accuracy_and_losses_or_the_refusal() -> None:
    assert text_of(cell(2.3, 1.25)) == "50% (2.30 → 1.25)"
    assert text_of(cell(2.3, 1.25, own=True)) == "50%° (2.30 → 1.25)"
    assert text_of(cell(2.3, None, False)) == "50% (2.30 → none) **does not learn**"
    assert text_of({"refused": "it cannot"}) == "refused: it cannot"


def test_the_page_has_a_row_for_each_strategy_fedavg_first(tmp_path: Path) -> None:
    rows = {name: {column: cell(2.0, 1.0) for column in COLUMNS} for name in ("afl", "fedavg")}
    write(rows, {"processor": "one"}, tmp_path)
    page = (tmp_path / "sanity.md").read_text().splitlines()
    table = [line for line in page if line.startswith("|")]
    assert [line.split(" | ")[0] for line in table[2:]] == ["| fedavg", "| afl"]
    assert json.loads((tmp_path / "sanity.json").read_text())["cells"] == rows


def test_a_strategy_learns_beside_an_idle_client() -> None:
    model = {"model": parts.BATCH_NORM}
    made = parts.scenario_of("rfa", {}, model)
    scenario = parts.scenario_of("rfa", {}, model, parts.with_trouble(made, "idle"))
    assert outcome(scenario)["learns"]
