"""The runner of published tables: what it reads, what it does not run twice, what it writes."""

import json
from pathlib import Path

import pytest

from benchmarks.published.__main__ import load_results, run_table, write
from benchmarks.published.page import best_of, page
from benchmarks.published.running import find_run, result_of
from benchmarks.published.table import FOLDER, Table, cells_of, load_table, names
from fedlab.errors import FedlabError
from fedlab.run.folder import RunFolder

SCENARIO = """
rounds = 3
[data]
name = "logic"
task = "classification"
copies = 8
validation = 0.0
[data.partition]
name = "iid"
clients = 2
[model]
name = "linear"
[client.optimizer]
lr = 0.5
[engine]
name = "inline"
"""


def tiny(tmp_path: Path, **changes: object) -> Table:
    scenario = tmp_path / "tiny.toml"
    scenario.write_text(SCENARIO)
    content = {
        "title": "Tiny",
        "paper": "Nobody 2000",
        "budget": "nothing",
        "differs": "nothing",
        "scenario": str(scenario),
        "curves": "accuracy",
        "rows": [
            {"name": "one epoch", "paper": {"AND": "99.9"}},
            {"name": "two epochs", "set": ("client.epochs=2",)},
        ],
        "columns": [
            {"name": "AND", "set": ("data.function=and",)},
            {"name": "OR", "set": ("data.function=or",)},
        ],
    }
    return Table.model_validate(content | changes)


def test_a_table_is_run_once_and_written_beside_the_papers(tmp_path: Path) -> None:
    table = tiny(tmp_path)
    cells = cells_of(table, [0, 1])
    run_table("tiny", table, cells, tmp_path / "runs", tmp_path / "results")
    folders = sorted((tmp_path / "runs" / "tiny").glob("*/*/summary.json"))
    assert len(folders) == len(cells) == 8
    times = [path.stat().st_mtime_ns for path in folders]
    run_table("tiny", table, cells, tmp_path / "runs", tmp_path / "results")
    assert [path.stat().st_mtime_ns for path in folders] == times

    results = load_results("tiny", tmp_path / "results")
    for result in results:
        lines = RunFolder.open(_folder(tmp_path, result)).lines("metrics.jsonl")
        accuracies = [line["test"]["accuracy"] for line in lines]
        assert result["figure"] == accuracies[-1]
        assert [value for _, value in result["curve"]] == pytest.approx(accuracies, rel=1e-4)
    text = (tmp_path / "results" / "tiny.md").read_text()
    mine = [r["figure"] for r in results if (r["row"], r["column"]) == ("one epoch", "AND")]
    assert f"| one epoch | **{50 * sum(mine):.1f} ± " in text
    assert "(99.9)" in text
    assert (tmp_path / "results" / "tiny.png").stat().st_size > 1000


def _folder(tmp_path: Path, result: dict[str, object]) -> Path:
    slug = f"{result['row']}--{result['column']}".lower().replace(" ", "-")
    return next((tmp_path / "runs" / "tiny" / f"{slug}--seed-{result['seed']}").iterdir())


def test_an_interrupted_run_is_resumed_a_changed_one_begun_anew(tmp_path: Path) -> None:
    table = tiny(tmp_path)
    cell = cells_of(table, [0])[0]
    whole = result_of(table, cell, tmp_path / "whole", tmp_path)
    broken = _break_off(table, tmp_path)
    again = result_of(table, cell, tmp_path / "broken", tmp_path)
    assert find_run(tmp_path / "broken" / cell.name, cell.scenario(table)).path == broken  # type: ignore[union-attr]
    assert (again["figure"], again["rounds"]) == (whole["figure"], 3)

    longer = tiny(tmp_path, set=("rounds=4",))
    assert result_of(longer, cells_of(longer, [0])[0], tmp_path / "broken", tmp_path)["rounds"] == 4
    assert len(list((tmp_path / "broken" / cell.name).iterdir())) == 2


def _break_off(table: Table, tmp_path: Path) -> Path:
    """Leave a run as a killed process leaves it: two rounds done and no summary."""
    from fedlab.run.callbacks import Callback
    from fedlab.run.execution import run

    class Kill(Callback):
        def reason_to_stop(self) -> str | None:
            if self.rounds_done == 2:
                raise SystemExit
            return None

        rounds_done = 0

        def round_ended(self, rounds: object, outcome: object) -> None:
            self.rounds_done = rounds.round  # type: ignore[attr-defined]

    cell = cells_of(table, [0])[0]
    folder = RunFolder.create(tmp_path / "broken" / cell.name, "run", cell.scenario(table))
    with pytest.raises(SystemExit):
        run(folder, [Kill()])
    assert not (folder.path / "summary.json").exists()
    return folder.path


def test_a_sweep_reports_the_fewest_rounds_to_the_target(tmp_path: Path) -> None:
    table = tiny(
        tmp_path,
        set=("rounds=40", "evaluation.early_stopping={metric='accuracy', threshold=1.0}"),
        figure={"take": "rounds", "target": 1.0},
        sweep={"key": "client.optimizer.lr", "values": (0.001, 0.5)},
        rows=[{"name": "FedAvg"}],
    )
    cells = [cell for cell in cells_of(table, [2]) if cell.column.name == "AND"]
    results = [result_of(table, cell, tmp_path / "runs", tmp_path) for cell in cells]
    assert results[0]["figure"] is None
    assert results[1]["status"] == "stopped"
    assert results[1]["figure"] == results[1]["rounds"] == results[1]["curve"][-1][0] < 40
    assert best_of(table, table.rows[0], results) == [results[1]]
    text = page("tiny", table, results, "a machine")
    assert f"| FedAvg | **{results[1]['figure']}** at 0.5 | not run |" in text
    assert f"| FedAvg | AND | > 40 | {results[1]['figure']} |" in text


def test_a_run_without_replies_is_told_as_failed(tmp_path: Path) -> None:
    table = tiny(tmp_path, set=("client.optimizer.lr=1e30", "client.l2=1e30"))
    cell = cells_of(table, [0])[0]
    result = result_of(table, cell, tmp_path / "runs", tmp_path)
    assert (result["status"], result["figure"]) == ("failed", None)
    assert "failed in round" in page("tiny", table, [result], "a machine")


def test_a_second_figure_of_the_runs_has_its_own_grid(tmp_path: Path) -> None:
    table = tiny(tmp_path, figure={"take": "best"}, also={"take": "mean", "count": 2})
    result = result_of(table, cells_of(table, [0])[0], tmp_path / "runs", tmp_path)
    accuracies = [value for _, value in result["curve"]]
    assert result["figure"] == pytest.approx(max(accuracies), rel=1e-4)
    assert result["also"] == pytest.approx(sum(accuracies[-2:]) / 2, rel=1e-4)
    text = page("tiny", table, [result], "a machine")
    assert f"| one epoch | **{100 * result['figure']:.1f}** (99.9) | not run |" in text
    assert "Mean accuracy of the last 2 evaluations" in text
    assert f"| one epoch | {100 * result['also']:.1f} | not run |" in text
    del result["also"]  # read before the table asked for it
    assert "| one epoch | nothing measured | not run |" in page("tiny", table, [result], "")


def test_a_failed_run_has_a_best_but_no_last_figure(tmp_path: Path) -> None:
    table = tiny(
        tmp_path,
        set=("client.optimizer.lr=1e30", "client.l2=1e30"),
        figure={"take": "best"},
        also={"take": "mean"},
    )
    result = result_of(table, cells_of(table, [0])[0], tmp_path / "runs", tmp_path)
    assert result["status"] == "failed"
    assert result["figure"] == max(value for _, value in result["curve"])
    assert result["also"] is None
    assert "| one epoch | failed in round" in page("tiny", table, [result], "a machine")


def test_results_of_rows_no_longer_asked_are_left_out(tmp_path: Path) -> None:
    table = tiny(tmp_path)
    row = {"group": "", "row": "gone", "column": "AND", "seed": 0, "figure": 1.0}
    write("tiny", table, [row], tmp_path)
    assert json.loads((tmp_path / "tiny.json").read_text())["runs"] == []


def test_a_target_goes_with_rounds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="target goes with take = 'rounds'"):
        tiny(tmp_path, figure={"take": "rounds"})


def test_every_table_describes_scenarios_that_are_right() -> None:
    for name in names():
        table = load_table(name)
        cells = cells_of(table, table.seeds)
        assert len({(c.name, c.column.site) for c in cells}) == len(cells), (
            f"{name}: two cells share a folder"
        )
        for cell in cells:
            cell.scenario(table)
        for row in table.rows:
            assert set(row.paper) <= {column.name for column in table.columns}, name
        known = {(row.group, row.name) for row in table.rows}
        assert {(cell.group, cell.row) for cell in table.cells} <= known, name
    with pytest.raises(FedlabError, match="unknown table"):
        load_table("nonsense")
    assert FOLDER.is_dir()
