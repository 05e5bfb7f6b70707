"""Settings over seeds: figures from the runs' own lines, in every form."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from statistics import fmean

import pytest

from fedlab.errors import FedlabError
from fedlab.results.comparison import Comparison
from fedlab.results.comparison_files import write_comparison
from fedlab.results.drawing.bands import draw_bands
from fedlab.results.group_curves import curve
from fedlab.results.run_groups import seed_of
from fedlab.results.settings_comparison import SettingsComparison, reached
from fedlab.results.text_tables import TextTable


@pytest.fixture
def runs(finished_run: Path, slower_run: Path, tmp_path: Path) -> list[Path]:
    """Return two settings of three seeds, each shifted by a hundredth from the one before."""
    found = []
    for source, name in ((finished_run, "fast"), (slower_run, "slow")):
        for seed in range(3):
            path = Path(shutil.copytree(source, tmp_path / f"{name}-{seed}"))
            text = (path / "scenario.toml").read_text()
            (path / "scenario.toml").write_text(text.replace("seed = 3", f"seed = {seed}"))
            lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
            shifted = [_shifted(line, 0.01 * seed) for line in lines]
            (path / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in shifted))
            found.append(path)
    return found


def _shifted(line: dict[str, dict[str, float]], by: float) -> dict[str, dict[str, float]]:
    line["test"]["accuracy"] += by
    return line


def settings_of(runs: list[Path], **keys: object) -> SettingsComparison:
    comparison = Comparison.load(runs)
    return SettingsComparison.of(comparison, **keys)  # type: ignore[arg-type]


def test_a_settings_figures_are_those_of_its_runs(runs: list[Path]) -> None:
    settings = settings_of(runs)
    fast, slow = settings.groups
    finals = [record.tested[-1].value("accuracy") for record in fast.records]
    assert settings.final(fast).mean == pytest.approx(fmean(finals))
    assert settings.final(fast).std == pytest.approx(0.01)
    difference = settings.difference(slow)
    assert difference is not None
    assert difference.half_width == pytest.approx(0.0, abs=1e-12)
    own, other = (g.records[0].tested[-1].value("accuracy") for g in (slow, fast))
    assert difference.mean == pytest.approx(own - other)


def test_what_a_target_takes_counts_the_runs_that_reach_it(runs: list[Path]) -> None:
    first, _ = settings_of(runs).groups
    best = first.records[-1].best
    assert best is not None
    target = best.value("accuracy") - 0.005
    settings = settings_of(runs, wanted=target)
    cost = settings.cost(settings.groups[0])
    assert (cost["reached"], cost["of"]) == (1, 3)
    row = reached(first.records[-1], settings.metric, target)
    assert row is not None
    assert cost["rounds"] == row.round
    assert settings.cost(settings.groups[1])["rounds"] is None
    assert "(1 of 3)" in settings.table().rows[0][5]


def test_the_reference_can_be_named_and_is_checked(runs: list[Path]) -> None:
    settings = settings_of(runs, against="rounds=4")
    assert [row[0] for row in settings.differences().rows] == ["rounds=8"]
    with pytest.raises(FedlabError, match="'rounds=5' is none of the settings"):
        settings_of(runs, against="rounds=5")


def test_unpaired_and_single_seeds_are_said(runs: list[Path]) -> None:
    notes = settings_of([*runs[:3], runs[3]]).notes()
    assert any("other seeds than rounds=8: rounds=4" in note for note in notes)
    assert any("one seed has no interval" in note for note in notes)
    assert settings_of(runs).notes() == []


def _end(run: Path, status: str, reason: str) -> None:
    summary = json.loads((run / "summary.json").read_text())
    changed = {**summary, "status": status, "reason": reason}
    (run / "summary.json").write_text(json.dumps(changed))


def test_runs_that_did_not_come_to_their_end_are_left_out_and_named(runs: list[Path]) -> None:
    _end(runs[1], "failed", "a client raised")
    _end(runs[2], "stopped", "interrupted")
    _end(runs[4], "stopped", "loss has not improved for 3")
    (runs[5] / "summary.json").unlink()
    settings = settings_of(runs)
    assert [[seed_of(run) for run in group.records] for group in settings.groups] == [[0], [0, 1]]
    assert settings.notes()[:2] == [
        "rounds=8: left out: seed 1 (failed after round 8), seed 2 (interrupted after round 8)",
        "rounds=4: left out: seed 2 (unfinished after round 4)",
    ]


def test_a_setting_whose_runs_all_failed_has_no_row_and_one_under_way_has(runs: list[Path]) -> None:
    for run in runs[:3]:
        _end(run, "failed", "a client raised")
    for run in runs[3:]:
        (run / "summary.json").unlink()
    settings = settings_of(runs)
    assert [group.name for group in settings.groups] == ["rounds=4"]
    assert settings.notes()[1].startswith("rounds=4: not finished: seed 0 (unfinished after round")
    assert len(settings_of(runs[:3]).table().rows) == 1


def test_bands_are_drawn_over_the_rounds_that_all_seeds_have(runs: list[Path]) -> None:
    settings = settings_of(runs)
    rounds, found = curve(settings.groups[0], settings.metric)
    assert rounds == list(range(9))
    assert {e.count for e in found} == {3}
    figure = draw_bands(settings.groups, settings.metric)
    assert [len(axes.collections) for axes in figure.axes] == [2, 2]
    assert [line.get_label() for line in figure.axes[0].lines] == ["rounds=8", "rounds=4"]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "md", "tex", "csv", "json"])
def test_a_comparison_is_written_as_its_suffix_says(
    runs: list[Path], tmp_path: Path, suffix: str
) -> None:
    comparison, settings = Comparison.load(runs), settings_of(runs)
    path = tmp_path / f"out.{suffix}"
    write_comparison(path, comparison, settings)
    content = path.read_bytes()
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    if suffix in begins:
        assert content.startswith(begins[suffix])
    elif suffix == "json":
        found = json.loads(content)
        assert [s["name"] for s in found["settings"]] == ["rounds=8", "rounds=4"]
        assert [Path(r["path"]) for r in found["settings"][0]["runs"]] == runs[:3]
    elif suffix == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert [row["setting"] for row in rows] == ["rounds=8", "rounds=4"]
    else:
        assert all(str(run) in content.decode() for run in runs)


def test_latex_takes_every_letter_and_a_csv_every_comma() -> None:
    table = TextTable("t", ["a_b", "c"], [["50 % & #1", "±1"], ["x,y", "−2"]])
    assert r"50 \% \& \#1 & $\pm$1 \\" in table.latex()
    assert r"a\_b & c \\" in table.latex()
    starred = TextTable("t", ["*"], [["[64]"], ["<b> | c"], ["a"]]).latex()
    assert "{*} \\\\\n" in starred
    assert "\\midrule\n{[}64] \\\\\n\\textless{}b\\textgreater{} \\textbar{} c" in starred
    assert list(csv.reader(io.StringIO(table.csv())))[2] == ["x,y", "−2"]
