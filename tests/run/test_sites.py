"""A run on pictures of several sites: each site's figures, from the lines to the report."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from fedlab.cli import main
from fedlab.results.reading import RunRecord
from fedlab.results.report.page import write_report
from fedlab.results.sites import site_figures
from fedlab.run.baselines import run_baselines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with

SITES = {"north": 30, "south": 20, "west": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sites")
    draw = np.random.default_rng(4)
    for site, count in SITES.items():
        for number in range(count):
            path = root / "own" / site / ("dark", "light")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            low = 120 * (number % 2)
            Image.fromarray(draw.integers(low, low + 130, (6, 6, 3), np.uint8)).save(path)
    data = {"name": "imagefolder", "path": str(root / "own"), "clients_by": "folder"}
    scenario = scenario_with(
        {"data": {**data, "image_size": 6, "partition": None}, "rounds": 2},
        {"evaluation": {"baselines": ["centralised", "local"]}},
    )
    made = RunFolder.create(root, "sites", scenario)
    run(made)
    run_baselines(made, [])
    return made


def test_each_line_has_the_sites_and_their_mean_is_the_test_sets(folder):
    lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").open()]
    assert len(lines) == 3
    for line in lines:
        assert {name: row["examples"] for name, row in line["sites"].items()} == {
            "north": 6,
            "south": 4,
            "west": 1,
        }
        for metric in ("loss", "accuracy"):
            total = sum(row["examples"] * row[metric] for row in line["sites"].values())
            assert total / 11 == pytest.approx(line["test"][metric])
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["sites"] == lines[-1]["sites"]


def test_sites_stand_beside_pooled_and_lone_training(folder):
    found = site_figures(RunRecord.load(folder.path))
    assert found is not None
    headers, rows = found.table()
    assert headers[-2:] == ["accuracy, pooled", "accuracy, alone"]
    assert [row[:2] for row in rows] == [["north", "6"], ["south", "4"], ["west", "1"]]
    assert all(row[-1].endswith("%") for row in rows)
    local = [line for line in RunRecord.load(folder.path).baselines if line.baseline == "local"]
    assert found.compared["alone"]["south"] == local[1].sites["south"]["accuracy"]


def test_the_report_has_a_table_of_sites_and_a_shared_one_no_names(folder):
    page = write_report(folder.path).read_text()
    assert "<h2" in page
    assert "Each site (3)" in page
    assert "Test accuracy of 3 sites" not in page
    assert "test accuracy of 3 sites: from" in page
    shared = write_report(folder.path, share=True).read_text()
    assert "site 1" in shared
    assert "north" not in shared


def typed(*words, monkeypatch, capsys) -> str:
    monkeypatch.setattr(sys, "argv", ["fedlab", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_show_and_evaluate_print_the_sites(folder, monkeypatch, capsys):
    line = json.loads((folder.path / "metrics.jsonl").read_text().splitlines()[-1])
    shown = typed("show", folder.path, monkeypatch=monkeypatch, capsys=capsys)
    assert "Test accuracy of 3 sites: from" in shown
    west = next(row for row in shown.splitlines() if row.startswith("west"))
    assert west.split()[1] == "1"
    found = typed("evaluate", folder.path, "--json", monkeypatch=monkeypatch, capsys=capsys)
    for name, row in json.loads(found)["sites"].items():
        assert row == pytest.approx(line["sites"][name])
    printed = typed("evaluate", folder.path, monkeypatch=monkeypatch, capsys=capsys)
    assert any(row.startswith("north") for row in printed.splitlines())
