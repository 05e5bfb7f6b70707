"""Extracting named files from archives, and nothing else.

Only members that the catalogue names are read, and they are written to paths that the catalogue
names: an archive cannot choose where its content is written.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from fedlab.assets.asset import File, WayFailed

_Opener = Callable[[str], AbstractContextManager[IO[bytes]]]
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)


def unpack(
    archive: Path, files: Iterable[File], folder: Path, *, prefix: str, suffix: str = ""
) -> None:
    """Extract ``files`` from a zip (wheel) or tar archive into ``folder``.

    Args:
        archive: A zip file, or a tar file under any compression that Python reads.
        files: The files to extract; the member is called ``prefix/path`` plus ``suffix``.
        folder: The target; each file is written under its own path.
        prefix: Folder inside the archive.
        suffix: ".gz" if the archive holds compressed files; they are written decompressed.

    Raises:
        WayFailed: If the archive is damaged, or a member is missing or not a regular file.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened_zip:
                _extract(lambda member: opened_zip.open(member), files, folder, prefix, suffix)
        else:
            with tarfile.open(archive) as opened_tar:
                _extract(
                    lambda member: _tar_file(opened_tar, member), files, folder, prefix, suffix
                )
    except KeyError as error:
        raise WayFailed(f"{archive.name} lacks {error.args[0]}") from error
    except _DAMAGE as error:
        raise WayFailed(f"{archive.name} is damaged ({error})") from error


def _extract(
    open_member: _Opener, files: Iterable[File], folder: Path, prefix: str, tail: str
) -> None:
    for file in files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_member(f"{prefix}/{file.path}{tail}") as packed, target.open("wb") as written:
            if tail == ".gz":
                with gzip.open(packed) as content:
                    shutil.copyfileobj(content, written)
            else:
                shutil.copyfileobj(packed, written)


def _tar_file(archive: tarfile.TarFile, member: str) -> IO[bytes]:
    information = archive.getmember(member)
    if not information.isfile():
        raise WayFailed(f"{member} is no ordinary file in the archive")
    content = archive.extractfile(information)
    assert content is not None
    return content
