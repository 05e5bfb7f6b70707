from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.results.comparison import Comparison
from fedlab.results.reading import RunRecord


def test_rows_hold_the_runs_numbers(finished_run: Path, slower_run: Path) -> None:
    comparison = Comparison.load([finished_run, slower_run])
    rows = comparison.rows()
    assert [row[0] for row in rows] == ["rounds=8", "rounds=4"]
    assert comparison.sources == [f"rounds=8: {finished_run}", f"rounds=4: {slower_run}"]
    for row, path in zip(rows, (finished_run, slower_run), strict=True):
        record = RunRecord.load(path)
        cells = dict(zip(comparison.headers(), row, strict=True))
        final = record.tested[-1].value("accuracy")
        assert cells["final"] == f"{100 * final:.1f}\u00a0%"
        worst = record.rounds[-1].clients["accuracy"].worst_decile
        assert cells["worst 10\u00a0%"] == f"{100 * worst:.1f}\u00a0%"
        assert cells["rounds"] == str(len(record.rounds) - 1)


def test_fairness_rows_hold_the_spread_over_clients(finished_run: Path, slower_run: Path) -> None:
    comparison = Comparison.load([finished_run, slower_run])
    row = comparison.fairness_rows()[0]
    cells = dict(zip(comparison.fairness_headers(), row, strict=True))
    record = RunRecord.load(finished_run)
    spread = record.rounds[-1].clients["accuracy"]
    assert cells["std"] == f"{100 * spread.std:.1f}\u00a0%"
    assert cells["Gini"] == f"{spread.gini:.3f}"
    assert cells["Jain"] == f"{spread.jain_index:.3f}"
    assert cells["round"] == str(record.rounds[-1].round)


def test_the_plot_has_every_run_over_rounds_and_over_megabytes(
    finished_run: Path, slower_run: Path
) -> None:
    over_rounds, over_megabytes = Comparison.load([finished_run, slower_run]).draw().axes
    assert [line.get_label() for line in over_rounds.lines] == ["rounds=8", "rounds=4"]
    record = RunRecord.load(finished_run)
    assert over_megabytes.lines[0].get_xdata()[-1] == pytest.approx(record.bytes_moved / 1e6)


def test_runs_of_one_name_are_told_apart_by_their_paths(finished_run: Path, run: Path) -> None:
    assert Comparison.load([finished_run, run]).names == [str(finished_run), str(run)]


def test_an_unfinished_run_says_so(finished_run: Path, run: Path) -> None:
    (run / "summary.json").unlink()
    assert Comparison.load([finished_run, run]).rows()[1][2] == "8 (unfinished)"


def test_many_runs_stay_apart_in_the_plot(finished_run: Path, tmp_path: Path) -> None:
    paths = [Path(shutil.copytree(finished_run, tmp_path / f"run-{n}")) for n in range(9)]
    lines = Comparison.load(paths).draw().axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("scenario.toml", 'name = "digits"', 'name = "mnist"'),
        ("task.json", '"classification"', '"tagging"'),
        ("metrics.jsonl", '"accuracy"', '"rmse"'),
    ],
)
def test_runs_of_different_tasks_are_refused(
    finished_run: Path, run: Path, name: str, old: str, new: str
) -> None:
    (run / name).write_text((run / name).read_text().replace(old, new))
    with pytest.raises(FedlabError, match="learn different things and cannot be compared"):
        Comparison.load([finished_run, run])


def test_what_cannot_be_compared_is_said(finished_run: Path, run: Path) -> None:
    with pytest.raises(FedlabError, match="two or more"):
        Comparison.load([finished_run])
    (run / "metrics.jsonl").write_text(json.dumps({"round": 0}) + "\n")
    with pytest.raises(FedlabError, match="no evaluated round"):
        Comparison.load([finished_run, run])


def relabelled(run: Path, folder: Path, labels: list[str]) -> Path:
    copy = Path(shutil.copytree(run, folder / "".join(labels)))
    task = json.loads((copy / "task.json").read_text())
    (copy / "task.json").write_text(json.dumps(task | {"labels": labels}))
    return copy


def test_other_classes_are_named(finished_run: Path, tmp_path: Path) -> None:
    runs = [relabelled(finished_run, tmp_path, labels) for labels in (["a", "b"], ["c", "b"])]
    with pytest.raises(FedlabError, match="compared: 'a' in ab alone and 'c' in cb alone"):
        Comparison.load(runs)
    turned = relabelled(finished_run, tmp_path, ["b", "a"])
    with pytest.raises(FedlabError, match="ab and ba have their classes in other orders"):
        Comparison.load([runs[0], turned])


def test_other_test_examples_are_told(finished_run: Path, tmp_path: Path) -> None:
    first, second = (Path(shutil.copytree(finished_run, tmp_path / name)) for name in "ab")
    part = {"examples": 9, "digest": "x"}
    (first / "data.json").write_text(json.dumps({"test": part}))
    assert Comparison.load([first, second]).notes == []
    (second / "data.json").write_text(json.dumps({"test": part}))
    assert Comparison.load([first, second]).notes == []
    (second / "data.json").write_text(json.dumps({"test": part | {"digest": "y"}}))
    (note,) = Comparison.load([first, second]).notes
    assert note.startswith("b was tested on other examples than a")
