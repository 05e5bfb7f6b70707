"""The package ways against real clients and small packages made on the spot, without a network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from fedlab.assets.asset import File, WayFailed
from fedlab.assets.packages import Apt, Npm, Pip, folder_in_package

FILES = (File("data.txt"),)
CONTENT = b"content\n"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in a folder that is all of pip's world."""
    index = tmp_path / "index"
    index.mkdir()
    path = index / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made_up/data/data.txt", CONTENT)
        archive.writestr("made_up-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        metadata = "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\nRequires-Python: >=99\n"
        archive.writestr("made_up-1.0.dist-info/METADATA", metadata)
        archive.writestr("made_up-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return path


def test_pip_brings_the_files_of_a_wheel(wheel: Path, scratch: Path, tmp_path: Path) -> None:
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    Pip("made-up==1.0", "made_up/data", checksum).fetch(FILES, scratch, tmp_path / "out")
    assert (tmp_path / "out" / "data.txt").read_bytes() == CONTENT


def test_pip_refuses_an_archive_with_another_checksum(
    wheel: Path, scratch: Path, tmp_path: Path
) -> None:
    with pytest.raises(WayFailed):
        Pip("made-up==1.0", "made_up/data", "0" * 64).fetch(FILES, scratch, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pip_says_what_it_did_not_find(wheel: Path, scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(WayFailed, match=r"No matching distribution found for made-up==2\.0"):
        Pip("made-up==2.0", "made_up/data").fetch(FILES, scratch, tmp_path / "out")


def test_a_source_archive_without_checksum_is_no_catalogue_entry() -> None:
    with pytest.raises(ValueError, match="needs its SHA-256"):
        Pip("made-up==1.0", "made_up", is_source=True)


@pytest.mark.skipif(not shutil.which("npm"), reason="this test needs npm")
def test_npm_brings_the_files_of_a_package(scratch: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "data").mkdir(parents=True)
    (package / "data" / "data.txt").write_bytes(CONTENT)
    (package / "package.json").write_text(json.dumps({"name": "made-up", "version": "1.0.0"}))
    Npm(str(package), "data").fetch(FILES, scratch, tmp_path / "out")
    assert (tmp_path / "out" / "data.txt").read_bytes() == CONTENT


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="this test needs dpkg-deb")
def test_apt_makes_its_own_package_lists_where_there_are_none(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = _deb(tmp_path)
    calls = tmp_path / "calls"
    _program(
        tmp_path / "bin" / "apt-get",
        f'echo "$@" >> {calls}\n'
        '[ "$1" = -o ] || { echo "E: Unable to locate package made-up" >&2; exit 100; }\n'
        f'case "$*" in *download*) cp {package} . ;; esac\n',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    Apt("made-up", "/usr/share/made-up").fetch(FILES, scratch, tmp_path / "out")
    assert (tmp_path / "out" / "data.txt").read_bytes() == CONTENT
    first, update, download = calls.read_text().splitlines()
    assert first == "download made-up"
    assert f"Dir::State={scratch}" in update
    assert update.endswith(" update")
    assert download.endswith(" download made-up")


def test_a_client_that_is_not_installed_is_named(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WayFailed, match="npm is not installed"):
        Npm("made-up@1.0.0", "data").fetch(FILES, scratch, tmp_path / "out")


def test_a_packages_folder_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "explosive_package" / "data").mkdir(parents=True)
    (tmp_path / "explosive_package" / "__init__.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    assert folder_in_package("explosive_package/data") == tmp_path / "explosive_package" / "data"
    assert folder_in_package("explosive_package/nothing") is None
    assert folder_in_package("no_such_package/data") is None


def _deb(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/share/made-up").mkdir(parents=True)
    (root / "usr/share/made-up/data.txt").write_bytes(CONTENT)
    control = "Package: made-up\nVersion: 1\nArchitecture: all\nMaintainer: no one <a@b.c>\n"
    (root / "DEBIAN" / "control").write_text(f"{control}Description: made up\n")
    package = tmp_path / "made-up_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", root, package], check=True, capture_output=True)
    return package


def _program(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
