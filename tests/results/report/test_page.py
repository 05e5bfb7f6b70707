from __future__ import annotations

import json
import re
import shutil
import struct
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.metrics.names import metric_name
from fedlab.results.reading import RunRecord
from fedlab.results.report.page import write_report

VOID = {"meta", "br", "img", "link", "hr", "input"}
PLOTS = {
    *("test-accuracy", "test-loss", "clients-over-rounds", "clients-final"),
    *("partition", "confusion", "communication", "seconds"),
}


class Page(HTMLParser):
    """What the tests ask of a page: balanced tags, identifiers, references, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\u00a0", " ")

    def values(self, name: str) -> list[str]:
        return [v for _, attributes in self.attributes if (v := attributes.get(name))]


@pytest.fixture(scope="module")
def reported(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("reported") / "digits"))
    write_report(run)
    return run


def page_of(run: Path) -> Page:
    return Page((run / "report.html").read_text())


def test_the_page_is_well_formed_and_loads_nothing(reported: Path) -> None:
    page = page_of(reported)
    assert page.open == []
    tags = {tag for tag, _ in page.attributes}
    assert not tags & {"script", "link", "iframe"}
    targets = page.values("src") + page.values("href") + page.values("xlink:href")
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert "@import" not in page.text
    assert not re.search(r"url\((?!#)", (reported / "report.html").read_text())


def test_identifiers_are_unique_and_references_resolve(reported: Path) -> None:
    page = page_of(reported)
    identifiers = page.values("id")
    assert len(identifiers) == len(set(identifiers))
    text = (reported / "report.html").read_text()
    asked = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    assert asked
    assert asked <= set(identifiers)


def test_every_plot_says_in_words_what_it_shows(reported: Path) -> None:
    plots = [attributes for tag, attributes in page_of(reported).attributes if tag == "svg"]
    assert len(plots) == len(PLOTS)
    assert all(plot["role"] == "img" and len(plot["aria-label"] or "") > 30 for plot in plots)


def test_plots_follow_the_page_into_the_dark(reported: Path) -> None:
    text = (reported / "report.html").read_text()
    plots = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    used = {role for plot in plots for role in re.findall(r"var\(--plot-(\w+)\)", plot)}
    assert {"federated", "ink", "grid", "local", "centralised"} <= used
    for role in used:
        assert text.count(f"--plot-{role}: ") == 2


def test_plots_are_also_png_files(reported: Path) -> None:
    files = {path.stem: path.read_bytes() for path in (reported / "plots").glob("*.png")}
    assert set(files) == PLOTS
    for content in files.values():
        assert content.startswith(b"\x89PNG")
        assert struct.unpack(">I", content[16:20])[0] > 800


def test_headline_figures_are_those_of_the_metrics_lines(reported: Path) -> None:
    lines = [json.loads(line) for line in (reported / "metrics.jsonl").read_text().splitlines()]
    text, accuracy = page_of(reported).text, metric_name("accuracy")
    last, best = lines[-1]["test"]["accuracy"], max(line["test"]["accuracy"] for line in lines)
    assert f"federated training reaches {100 * last:.1f} % test accuracy" in text
    assert f"best {100 * best:.1f} % in round" in text
    worst = lines[-1]["clients"]["accuracy"]["worst_decile"]
    assert accuracy.text(worst).replace("\u00a0", " ") in text
    moved = sum(line.get("bytes_down", 0) + line.get("bytes_up", 0) for line in lines)
    assert f"{moved / 1e3:.3g} kB" in text


def test_every_section_names_its_source(reported: Path) -> None:
    text = (reported / "report.html").read_text()
    for section in re.findall(r'<section class="card" id.*?</section>', text, flags=re.DOTALL):
        found = re.search(r'class="source">Source: ([\w.]+)', section)
        assert found
        assert (reported / found[1]).is_file()


def test_reporting_again_gives_the_same_page(reported: Path) -> None:
    before = (reported / "report.html").read_bytes()
    write_report(reported)
    assert (reported / "report.html").read_bytes() == before


def test_markup_in_a_scenario_stays_text(run: Path) -> None:
    scenario = (run / "scenario.toml").read_text()
    evil = scenario.replace("Digits, ten clients", "<script>alert(1)</script> & co")
    (run / "scenario.toml").write_text(evil)
    text = write_report(run).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_failures_are_counted_and_shown(run: Path) -> None:
    failure = {"round": 3, "client": 7, "phase": "train", "reason": "loss is not a number"}
    with (run / "failures.jsonl").open("a") as file:
        file.writelines(json.dumps({**failure, "client": n}) + "\n" for n in (7, 8))
    write_report(run)
    text = page_of(run).text
    assert "2 failures among 40 assignments" in text
    assert "loss is not a number" in text


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_run_that_was_killed_early_has_a_report(run: Path, kept: int) -> None:
    for name in ("summary.json", "confusion.json", "baselines.jsonl", "clients.jsonl"):
        (run / name).unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:kept]))
    write_report(run)
    text = page_of(run).text
    assert "unfinished" in text
    assert ("Nothing has been evaluated yet." in text) == (kept == 0)


def test_a_regression_run_is_judged_by_its_error(run: Path) -> None:
    (run / "confusion.json").unlink()
    for name in ("metrics.jsonl", "baselines.jsonl"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace('"accuracy"', '"rmse"').replace("macro_f1", "mae"))
    write_report(run)
    record = RunRecord.load(run)
    assert record.best is not None
    assert record.best.value("rmse") == min(row.value("rmse") for row in record.tested)
    assert "No: federated training reaches" in page_of(run).text


def test_numbers_beyond_all_bounds_do_not_stop_the_report(run: Path) -> None:
    spread = dict.fromkeys(("mean", "std", "worst_decile", "min", "max"), float("nan"))
    line = {
        "round": 9,
        "test": {"loss": float("nan"), "accuracy": 0.1, "macro_f1": float("inf")},
        "clients": {"accuracy": spread},
    }
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    write_report(run)
    assert "not a number" in page_of(run).text


def test_what_is_in_the_way_is_named(run: Path) -> None:
    (run / "plots").write_text("in the way")
    with pytest.raises(FedlabError, match="plots cannot be made"):
        write_report(run)
    assert not (run / "report.html").exists()
