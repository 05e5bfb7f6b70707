"""Reports name nobody's folders; one to be shared names no path and no client at all."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import pytest

from fedlab.files import without_home
from fedlab.results.privacy import without_paths
from fedlab.results.report.page import write_report
from fedlab.run.folder import environment


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ada be the user."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("LOGNAME", "ada")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ada/data/x.csv", "~/data/x.csv"),
        ("/home/ada", "~"),
        ("no file '/home/ada'.", "no file '~'."),
        ("/home/adam/data", "/home/adam/data"),
        ("/media/ada/disk", "/media/USER/disk"),
        ("adam is an optimiser, ada is not", "adam is an optimiser, ada is not"),
    ],
)
def test_paths_begin_at_home(text: str, shown: str) -> None:
    assert without_home(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/data/x.csv, line 3", "[path], line 3"),
        ("~/x is missing", "[path] is missing"),
        (r"C:\Users\ada\x.csv is gone", "[path] is gone"),
        ("5 / 5 clients and/or none", "5 / 5 clients and/or none"),
        ("model timm/vit of https://x.org/y", "model timm/vit of https://x.org/y"),
    ],
)
def test_paths_are_left_out_of_what_is_shared(text: str, shown: str) -> None:
    assert without_paths(text) == shown


def test_the_environment_names_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/ada/.venv/bin/fedlab", "run", "/mnt/ada/a.toml"])
    assert environment()["command"] == ["~/.venv/bin/fedlab", "run", "/mnt/USER/a.toml"]


@pytest.fixture
def private(run: Path) -> Path:
    """Return a run whose files name a user, folders and clients."""
    scenario = (run / "scenario.toml").read_text()
    path = 'name = "digits"\npath = "/home/ada/secret data/x"\nfile = "/srv/mri/ada/y"'
    (run / "scenario.toml").write_text(scenario.replace('name = "digits"', path, 1))
    command = {"command": ["fedlab", "run", "/home/ada/secret data/a.toml"], "host": "adas-laptop"}
    (run / "environment.json").write_text(json.dumps(command | {"cores": 4}))
    content = json.loads((run / "partition.json").read_text())
    names = [f"Hospital {number}" for number in range(10)]
    (run / "partition.json").write_text(json.dumps(content | {"names": names}))
    failure = {"round": 1, "client": 3, "phase": "train", "reason": "/home/ada/x/y.png is gone"}
    (run / "failures.jsonl").write_text(json.dumps(failure) + "\n")
    return run


def test_a_report_shows_paths_from_home_on(private: Path) -> None:
    page = unescape(write_report(private).read_text())
    assert "ada/" not in page
    assert "/srv/mri/USER/y" in page
    assert "~/x/y.png is gone" in page
    assert "Hospital 3" in page


def test_a_shared_report_leaves_out_what_is_private(private: Path) -> None:
    before = sorted(private.iterdir())
    page = unescape(write_report(private, share=True).read_text())
    for word in ("ada", "secret", "mri", "Hospital", "laptop", "y.png", private.parent.name):
        assert word not in page, word
    assert "[path] is gone" in page
    assert "cores" in page
    assert [p.name for p in sorted(private.iterdir()) if p not in before] == ["report-shared.html"]


def test_plots_are_not_written_through_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (run / "plots").symlink_to(tmp_path / "elsewhere")
    from fedlab.errors import FedlabError

    with pytest.raises(FedlabError, match="is a link to another folder"):
        write_report(run)
    assert list((tmp_path / "elsewhere").iterdir()) == []
