from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.results.report import process
from fedlab.results.report.page import write_report
from fedlab.results.report.process import ReportProcess


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReportProcess]:
    """A process that gets ready, as it does where matplotlib is not imported and there are cores"""
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setattr(process, "_cores", lambda: 2)
    report = ReportProcess()
    report.start()
    monkeypatch.undo()
    yield report
    report.close()


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "digits"))


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in [folder / "report.html", *(folder / "plots").iterdir()]}


def of(report: ReportProcess) -> subprocess.Popen[str]:
    found = report._process
    assert found is not None
    return found


def test_the_process_writes_what_this_one_would(begun: ReportProcess, run: Path) -> None:
    write_report(run)
    wanted = files(run)
    shutil.rmtree(run / "plots")
    (run / "report.html").unlink()
    assert begun.write(run) == run / "report.html"
    assert files(run) == wanted


def test_what_is_wrong_is_said_as_here(begun: ReportProcess, run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "plots", ignore_errors=True)
    (run / "plots").symlink_to(tmp_path)
    with pytest.raises(FedlabError, match="is a link to another folder"):
        begun.write(run)


def test_a_report_is_written_though_the_process_has_been_killed(
    begun: ReportProcess, run: Path
) -> None:
    of(begun).kill()
    (run / "report.html").unlink(missing_ok=True)
    assert begun.write(run).is_file()


def test_the_process_is_gone_after_its_report_or_when_it_is_not_wanted(
    begun: ReportProcess, run: Path
) -> None:
    first = of(begun)
    begun.write(run)
    assert first.returncode == 0
    command = [sys.executable, "-c", "input()"]
    begun._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    second = of(begun)
    begun.close()
    assert second.returncode == -signal.SIGKILL


def test_the_process_ends_when_its_parent_does() -> None:
    """Whose end closes its standard input."""
    command = [sys.executable, "-m", "fedlab.results.report.process"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, b"")


def test_nothing_is_started_with_one_core_or_once_matplotlib_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = ReportProcess()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(process, "_cores", lambda: 2)
    report.start()
    assert report._process is None
    monkeypatch.delitem(sys.modules, "matplotlib")
    monkeypatch.setattr(process, "_cores", lambda: 1)
    report.start()
    assert report._process is None


def test_a_file_of_the_folder_one_is_in_takes_no_modules_place(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "matplotlib.py").write_text("raise SystemExit('this is not matplotlib')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setattr(process, "_cores", lambda: 2)
    report = ReportProcess()
    report.start()
    monkeypatch.undo()
    started = of(report)
    report.write(run)
    assert started.returncode == 0
