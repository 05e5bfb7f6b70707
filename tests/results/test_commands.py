"""``fedlab report`` and ``fedlab compare``, as typed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fedlab.cli import main


def typed(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Run ``fedlab`` with these words in an 80 columns wide terminal; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["fedlab", *map(str, words)])
    # Such a terminal is 80 columns wide and shows no colours.
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_report_says_what_it_wrote(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    assert typed(monkeypatch, "report", run, "--tensorboard") == 0
    assert str(run / "report.html") in capsys.readouterr().out
    assert (run / "report.html").is_file()
    assert (run / "tensorboard" / "federated").is_dir()


def test_compare_prints_a_table_that_fits_and_draws_a_plot(
    finished_run: Path,
    slower_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plot = tmp_path / "plot.png"
    assert typed(monkeypatch, "compare", finished_run, slower_run, "-o", plot) == 0
    out = capsys.readouterr().out
    header = next(line for line in out.splitlines() if "strategy" in line)
    assert header.split()[-1] == "time"
    assert len(header) <= 80
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "{tmp}"], "is not a run folder"),
        (["report", "{tmp}/missing"], "there is no run folder"),
        (["compare", "{run}"], "two or more run folders"),
        (["compare", "{run}", "{tmp}"], "is not a run folder"),
        (["compare", "{run}", "{run}", "-o", "{tmp}/missing/plot.png"], "cannot be written"),
        (["value", "{run}", "-o", "{tmp}/missing/values.json"], "cannot be written: there is no"),
        (["compare", "{run}", "{run}", "-o", "{tmp}/plot.jpg"], "ends in '.jpg'; it may be .png, "),
        (["compare", "{run}", "{run}", "-o", "{tmp}/plot"], "has no suffix; it may be .png, .pdf"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    finished_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    filled = [word.format(tmp=tmp_path, run=finished_run) for word in words]
    assert typed(monkeypatch, *filled) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "begin"), [(".pdf", b"%PDF"), (".PNG", b"\x89PNG"), (".svg", b"<?xml")]
)
def test_compare_writes_the_format_that_the_suffix_says(
    finished_run, slower_run, tmp_path, monkeypatch, suffix, begin
) -> None:
    plot = tmp_path / f"plot{suffix}"
    assert typed(monkeypatch, "compare", finished_run, slower_run, "-o", plot) == 0
    assert plot.read_bytes().startswith(begin)


@pytest.mark.parametrize("columns", [80, 45])
def test_compare_cuts_no_figure_in_a_narrow_terminal(
    finished_run, slower_run, tmp_path, monkeypatch, capsys, columns
) -> None:
    from fedlab.results.comparison import Comparison
    from fedlab.terminal import PlainConsole

    monkeypatch.setattr(PlainConsole, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", str(columns))
    runs = (finished_run, slower_run)
    assert typed(monkeypatch, "compare", *runs, "-o", tmp_path / "plot.png") == 0
    out = capsys.readouterr().out.replace("\u00a0", " ")
    for row in Comparison.load(list(runs)).rows():
        for value in row[1:]:
            assert value.replace("\u00a0", " ") in out
