from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from fedlab.assets.archives import unpack
from fedlab.assets.asset import File, WayFailed

CONTENT = b"some content\n" * 2000
FILES = (File("data/part.txt"),)


def tar(path: Path, *members: tarfile.TarInfo, content: bytes = CONTENT) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            member.size = len(content) if member.isfile() else 0
            archive.addfile(member, io.BytesIO(content))
    return path


def test_only_what_the_catalogue_names_is_unpacked_from_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("package/data/part.txt", CONTENT)
        archive.writestr("package/code.py", "raise SystemExit")
        archive.writestr("../../escaped.txt", "no")
    target = tmp_path / "deep" / "target"
    unpack(tmp_path / "a.whl", FILES, target, prefix="package")
    assert (target / "data/part.txt").read_bytes() == CONTENT
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 2


def test_compressed_members_are_written_decompressed(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "a.tgz",
        tarfile.TarInfo("./usr/data/part.txt.gz"),
        content=gzip.compress(CONTENT),
    )
    unpack(archive, FILES, tmp_path / "target", prefix="./usr", suffix=".gz")
    assert (tmp_path / "target/data/part.txt").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_ordinary_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("package/data/part.txt")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(WayFailed, match="no ordinary file"):
        unpack(tar(tmp_path / "a.tgz", member), FILES, tmp_path / "target", prefix="package")


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tgz", tarfile.TarInfo("package/other.txt"))
    with pytest.raises(WayFailed, match=r"a\.tgz lacks .*package/data/part\.txt"):
        unpack(archive, FILES, tmp_path / "target", prefix="package")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7])
def test_a_truncated_archive_is_called_damaged(tmp_path: Path, kept: float) -> None:
    whole = tar(tmp_path / "a.tgz", tarfile.TarInfo("package/data/part.txt")).read_bytes()
    (tmp_path / "b.tgz").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(WayFailed, match=r"b\.tgz is damaged"):
        unpack(tmp_path / "b.tgz", FILES, tmp_path / "target", prefix="package")


def test_a_truncated_wheel_is_called_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("package/data/part.txt", CONTENT)
    whole = (tmp_path / "a.whl").read_bytes()
    (tmp_path / "b.whl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WayFailed, match=r"b\.whl is damaged"):
        unpack(tmp_path / "b.whl", FILES, tmp_path / "target", prefix="package")


def test_a_wheel_with_a_flipped_byte_is_called_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("package/data/part.txt", CONTENT)
    content = bytearray((tmp_path / "a.whl").read_bytes())
    content[1000] ^= 1
    (tmp_path / "a.whl").write_bytes(content)
    with pytest.raises(WayFailed, match="damaged"):
        unpack(tmp_path / "a.whl", FILES, tmp_path / "target", prefix="package")
