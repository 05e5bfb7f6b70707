from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from fedlab.assets.asset import File, WayFailed
from fedlab.assets.downloads import Dependency, Download, Torchvision
from fedlab.assets.places import open_file
from fedlab.errors import FedlabError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the local address that serves it."""
    folder = tmp_path / "server"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_every_file_behind_an_address_is_downloaded(
    server: tuple[Path, str], tmp_path: Path
) -> None:
    folder, address = server
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_bytes(b"a")
    Download(address).fetch((File("sub/a.txt"),), tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "a.txt").read_bytes() == b"a"


def test_a_file_that_the_server_lacks_fails_as_a_way(
    server: tuple[Path, str], tmp_path: Path
) -> None:
    with pytest.raises(WayFailed, match="not found"):
        Download(server[1]).fetch((File("a.txt"),), tmp_path, tmp_path / "out")


def test_an_address_without_an_answer_fails_as_a_way(tmp_path: Path) -> None:
    with pytest.raises(WayFailed, match="no answer"):
        Download("http://127.0.0.1:9/nothing").fetch((File("a"),), tmp_path, tmp_path / "out")


def test_torchvisions_own_download_puts_the_files_in_place(
    server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    folder, address = server
    resources, contents = [], {}
    for part in ("train", "t10k"):
        for content, header in (("images-idx3", (2051, 2, 1, 1)), ("labels-idx1", (2049, 2))):
            name = f"{part}-{content}-ubyte"
            contents[name] = struct.pack(f">{len(header)}I", *header) + bytes([1, 2])
            packed = gzip.compress(contents[name])
            (folder / f"{name}.gz").write_bytes(packed)
            checksum = hashlib.md5(packed, usedforsecurity=False).hexdigest()
            resources.append((f"{name}.gz", checksum))
    monkeypatch.setattr(MNIST, "mirrors", [f"{address}/"])
    monkeypatch.setattr(MNIST, "resources", resources)
    files = tuple(File(name) for name in contents)
    Torchvision("MNIST", ({},), "MNIST/raw").fetch(files, tmp_path / "scratch", tmp_path / "out")
    assert {n: (tmp_path / "out" / n).read_bytes() for n in contents} == contents


def test_torchvision_without_a_network_fails_as_a_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", [f"{(tmp_path / 'nothing').as_uri()}/"])
    with pytest.raises(WayFailed, match="Error downloading"):
        Torchvision("MNIST", ({},), "MNIST/raw").fetch((), tmp_path / "s", tmp_path / "out")


def test_a_missing_dependency_is_not_fetched(tmp_path: Path) -> None:
    way = Dependency("scikit-learn", "sklearn/datasets/data")
    with pytest.raises(WayFailed, match="dependency"):
        way.fetch((), tmp_path, tmp_path)


def test_files_open_alike_plain_and_compressed(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"content")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"content"))
    for name in ("plain", "packed"):
        with open_file(tmp_path, name) as opened:
            assert opened.read() == b"content"
    with pytest.raises(FedlabError, match="missing"):
        open_file(tmp_path, "neither")
