"""The doctor finds what is missing, and says what to type."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from fedlab.errors import FedlabError
from fedlab.use import installation
from fedlab.use.installation import Finding, extra_finding, findings, package


def state_of(subject: str) -> Finding:
    return next(each for each in findings() if each.subject == subject)


def test_a_package_that_is_missing_or_too_old_comes_with_the_command_that_installs_it() -> None:
    missing = package(Requirement("no-such-package-of-anybody>=2"))
    assert missing.state == "missing"
    assert missing.remedy == "pip install 'no-such-package-of-anybody>=2'"
    old = package(Requirement("numpy>=999"))
    assert old.state == "missing"
    assert "does not fit" in old.found
    assert package(Requirement("numpy>=2")).state == "ok"


def test_an_extra_that_is_not_installed_is_a_note_and_no_fault() -> None:
    found = extra_finding("sound", [Requirement("no-such-package-of-anybody")])
    assert (found.state, found.remedy) == ("note", "pip install 'fedlab-sim[sound]'")
    assert extra_finding("x", [Requirement("numpy")]).state == "ok"


def test_every_required_package_and_extra_is_looked_at() -> None:
    subjects = {each.subject for each in findings()}
    assert {"torch", "flwr", "ray", "extra onnx", "extra sound", "device cpu", "cache"} <= subjects
    assert not {"extra test", "extra docs", "pytest"} & subjects


def test_a_cache_that_cannot_be_made_is_a_fault(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "file"))
    found = state_of("cache")
    assert found.state == "missing"
    assert "FEDLAB_CACHE" in found.remedy
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "new" / "cache"))
    assert state_of("cache").state == "ok"
    assert not (tmp_path / "new").exists()


def test_a_data_folder_that_is_not_there_is_noted(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path / "nowhere"))
    assert state_of("data folder").state == "note"
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    assert state_of("data folder").state == "ok"


@pytest.mark.parametrize(
    ("encoding", "state"), [("utf-8", "ok"), ("UTF8", "ok"), ("ascii", "note")]
)
def test_a_terminal_without_utf8_is_noted(encoding, state) -> None:
    assert installation._encoding(encoding).state == state


def test_little_shared_memory_is_noted() -> None:
    assert installation._shared_memory(64 << 20).state == "note"
    assert installation._shared_memory(8 << 30).state == "ok"


def test_a_ray_that_does_not_start_is_a_fault_with_a_way_around_it() -> None:
    def fails() -> int:
        raise FedlabError("Ray does not start")

    found = installation._ray(fails)
    assert (found.state, found.found) == ("missing", "Ray does not start")
    assert "inline" in found.remedy
    assert installation._ray(lambda: 2).found == "started, with 2 CPUs"
