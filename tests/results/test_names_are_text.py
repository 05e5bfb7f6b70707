"""Names of classes, clients, runs and metrics are text everywhere, and never markup."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fedlab.results.comparison import Comparison
from fedlab.results.drawing.partition import draw_partition
from fedlab.results.drawing.style import inline_svg, named, png_bytes
from fedlab.results.reading import RunRecord
from fedlab.results.report.page import write_report
from fedlab.results.rows import PartitionFile

NAMES = [
    *("$5-$10", "$a^{$", r"\frac{1}{0}$ $", "a_b^c_{", "[bold]x", "#1f2430", 'id="x" url(#y)'),
    *("<u>x</u>", "猫" * 20, "x" * 300),
]


def test_a_report_shows_names_as_they_are(run: Path) -> None:
    for name in ("confusion.json", "partition.json"):
        content = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(content | {"labels": NAMES}))
    content = json.loads((run / "partition.json").read_text())
    (run / "partition.json").write_text(json.dumps(content | {"names": NAMES}))
    scenario = (run / "scenario.toml").read_text()
    title = "$x$ <i>a</i> é\\nb"
    (run / "scenario.toml").write_text(scenario.replace("Digits, ten clients", title))
    page = write_report(run).read_text()
    assert "<u>" not in page
    assert "<i>" not in page
    for name in NAMES[:8]:
        assert name in unescape(page)
    assert "猫猫猫猫猫猫…" in page
    assert "x" * 100 not in page
    assert page.count("<svg") == page.count("</svg>") > 4


def test_text_of_a_plot_is_no_part_of_its_svg() -> None:
    statistics = {"clients": 1, "sizes": [3], "names": ['id="a" #1f2430 & <g>']}
    figure = draw_partition(PartitionFile.model_validate(statistics))
    svg = inline_svg(figure, "p", "who & what")
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    assert any(element.text == 'id="a" #1f2430 & <g>' for element in root.iter())
    assert "var(--plot-federated)" in svg
    assert not re.search(r'\bid="(?!p-)', re.sub(">[^<]*<", "><", svg))


@pytest.mark.filterwarnings("error")
def test_runs_of_any_name_are_compared(run: Path, finished_run: Path) -> None:
    renamed = run.rename(run.with_name("$a$ 猫 🎈 " + "x" * 40))
    comparison = Comparison.load([renamed, finished_run])
    assert comparison.rows()[0][0] == renamed.name
    assert png_bytes(comparison.draw(), 40).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("short", "short"), ("a\nb\x1b", "a b"), ("x" * 20, "x" * 9 + "…"), ("猫" * 9, "猫猫猫猫…")],
)
def test_long_names_are_shortened(name: str, shown: str) -> None:
    assert named(name, 10) == shown


def test_a_reason_of_many_lines_is_one_line_of_a_table(run: Path) -> None:
    failure = {"round": 1, "client": 3, "phase": "train", "reason": "first\nsecond\n\n third"}
    (run / "failures.jsonl").write_text(json.dumps(failure) + "\n")
    assert "<td>first second third</td>" in write_report(run).read_text()
    assert RunRecord.load(run).failures[0].reason == failure["reason"]
