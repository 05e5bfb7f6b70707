from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fedlab.assets import ensure, fetching, locate, weights
from fedlab.assets.asset import Asset, File, WayFailed
from fedlab.errors import AssetMissing, FedlabError

Known = Callable[..., Asset]

CONTENT = b"first line\nsecond line\n"


def file(path: str = "data.txt", content: bytes = CONTENT) -> File:
    """Return the record of a file with this content."""
    return File(path, hashlib.sha256(content).hexdigest())


@dataclass
class WrittenWay:
    """A way that runs a function of the test's in place of a package client."""

    write: Callable[[Path], None]
    label: str = "made-up way"
    is_packaged: bool = True
    folder: Path | None = None
    calls: list[Path] = field(default_factory=list)

    def installed(self) -> Path | None:
        return self.folder

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        self.calls.append(folder)
        self.write(folder)


def right(folder: Path) -> None:
    """Write what the catalogue expects."""
    (folder / "data.txt").write_bytes(CONTENT)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asset]:
    """Return a function that puts one made-up asset into the catalogue."""

    def add(*ways: WrittenWay, name: str = "made-up", **fields: object) -> Asset:
        settings: dict[str, object] = {"kind": "data", "files": (file(),), **fields}
        record = Asset(
            name=name,
            title="a made-up asset",
            licence="none",
            size=len(CONTENT),
            ways=ways,
            **settings,  # type: ignore[arg-type]
        )
        monkeypatch.setattr(fetching, "CATALOGUE", {**fetching.CATALOGUE, name: record})
        return record

    return add


def fail(folder: Path) -> None:
    raise WayFailed("no network")


def test_what_is_fetched_is_found_again_without_fetching(known: Known, cache: Path) -> None:
    way = WrittenWay(right)
    known(way)
    assert locate("made-up") is None
    first = ensure("made-up")
    assert first == locate("made-up") == ensure("made-up") == cache / "assets" / "made-up"
    assert (first / "data.txt").read_bytes() == CONTENT
    assert len(way.calls) == 1


def test_the_next_way_is_tried_when_one_fails(known: Known) -> None:
    lines: list[str] = []
    known(WrittenWay(fail, label="broken way"), WrittenWay(right))
    assert (ensure("made-up", lines.append) / "data.txt").read_bytes() == CONTENT
    assert any("broken way did not work: no network" in line for line in lines)


def test_when_every_way_fails_a_sentence_says_why_and_what_to_do(known: Known, cache: Path) -> None:
    known(WrittenWay(fail, label="one way"), WrittenWay(fail, label="another"))
    with pytest.raises(AssetMissing) as raised:
        ensure("made-up", lambda line: None)
    message = str(raised.value)
    assert "one way: no network; another: no network" in message
    assert "`fedlab assets get made-up`" in message
    assert not (cache / "assets").exists()


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(known: Known, cache: Path) -> None:
    known(WrittenWay(lambda folder: (folder / "data.txt").write_bytes(b"forged") and None))
    with pytest.raises(AssetMissing, match=r"data\.txt has SHA-256 .* expected"):
        ensure("made-up", lambda line: None)
    assert not (cache / "assets").exists()
    assert not list((cache / "partial").iterdir())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(FedlabError, match=r"unknown asset 'fasion-mnist'\. Did you mean 'fashion-"):
        ensure("fasion-mnist")


def test_a_name_that_climbs_out_of_the_folders_is_unknown() -> None:
    with pytest.raises(FedlabError, match="unknown asset"):
        locate("../../etc")


def test_offline_nothing_is_fetched(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    way = WrittenWay(right)
    known(way)
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    with pytest.raises(AssetMissing, match="`FEDLAB_OFFLINE=0 fedlab assets get made-up`"):
        ensure("made-up")
    assert way.calls == []


def test_the_users_folder_comes_before_package_and_cache(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, user = tmp_path / "package", tmp_path / "user" / "made-up"
    for folder in (package, user):
        folder.mkdir(parents=True)
    known(WrittenWay(right, folder=package))
    cached = ensure("made-up")
    right(package)
    assert locate("made-up") == package != cached
    right(user)
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path / "user"))
    assert locate("made-up") == user
    (user / "data.txt").unlink()
    assert locate("made-up") == package


def test_weights_are_converted_offline_from_an_installed_package(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    right(package)
    way = WrittenWay(fail, folder=package)
    known(way, kind="weights", convert=_upper_case, products=("model.safetensors",))
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    assert locate("made-up") is None
    assert weights("made-up").read_bytes() == CONTENT.upper()
    assert way.calls == []


def test_a_tampered_installed_file_is_not_converted(known: Known, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "data.txt").write_bytes(b"forged")
    way = WrittenWay(right, folder=package)
    known(way, kind="weights", convert=_upper_case, products=("model.safetensors",))
    assert weights("made-up").read_bytes() == CONTENT.upper()
    assert len(way.calls) == 1


def test_a_conversion_that_fails_leaves_nothing(known: Known, cache: Path) -> None:
    def half(source: Path, target: Path) -> None:
        (target / "model.safetensors").write_bytes(b"half")
        raise RuntimeError("the disk went away")

    known(WrittenWay(right), kind="weights", convert=half, products=("model.safetensors",))
    with pytest.raises(RuntimeError):
        ensure("made-up")
    assert not (cache / "assets").exists()


def test_a_missing_converter_is_named_before_anything_is_fetched(known: Known) -> None:
    way = WrittenWay(right)
    known(way, convert=_upper_case, products=("x",), needs=("no_such_module",), extra="onnx")
    with pytest.raises(FedlabError, match=r"'no_such_module'.*pip install 'fedlab-sim\[onnx\]'"):
        ensure("made-up")
    assert way.calls == []


def test_a_cache_that_cannot_be_written_is_named(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "a-file"
    blocker.write_text("in the way")
    known(WrittenWay(right))
    monkeypatch.setenv("FEDLAB_CACHE", str(blocker / "cache"))
    with pytest.raises(FedlabError, match=r"a-file/cache.*FEDLAB_CACHE"):
        ensure("made-up")


def test_asking_for_the_weights_of_a_data_set_is_refused() -> None:
    with pytest.raises(FedlabError, match="unknown set of weights 'mnist'"):
        weights("mnist")


def test_processes_that_ask_at_once_fetch_once(known: Known) -> None:
    def slowly(folder: Path) -> None:
        time.sleep(0.2)
        right(folder)

    way = WrittenWay(slowly)
    known(way)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(ensure("made-up"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(way.calls) == 1
    assert len(found) == 4


def test_a_killed_fetch_is_harmless(known: Known, cache: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    script = textwrap.dedent(
        f"""
        import pathlib, time
        from fedlab.assets import fetching
        from fedlab.assets.asset import Asset, File

        class HangingWay:
            label = "hanging way"

            def installed(self):
                return None

            def fetch(self, files, scratch, folder):
                (folder / "data.txt").write_bytes(b"first li")
                pathlib.Path({str(started)!r}).touch()
                time.sleep(600)

        fetching.CATALOGUE = {{"made-up": Asset(
            "made-up", "data", "", "", 0, (File("data.txt"),), (HangingWay(),))}}
        fetching.ensure("made-up")
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], env=dict(os.environ))
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (cache / "partial" / "made-up" / "files" / "data.txt").read_bytes() == b"first li"
    known(WrittenWay(right))
    assert locate("made-up") is None
    assert (ensure("made-up") / "data.txt").read_bytes() == CONTENT
    assert not (cache / "partial" / "made-up").exists()


def test_an_incomplete_folder_in_the_cache_is_replaced(known: Known, cache: Path) -> None:
    stale = cache / "assets" / "made-up" / "other.txt"
    stale.parent.mkdir(parents=True)
    stale.touch()
    known(WrittenWay(right))
    assert sorted(path.name for path in ensure("made-up").iterdir()) == ["data.txt"]


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "a/../../b", ""])
def test_a_catalogue_path_outside_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="does not lie under"):
        file(path)


def _upper_case(source: Path, target: Path) -> None:
    (target / "model.safetensors").write_bytes((source / "data.txt").read_bytes().upper())
