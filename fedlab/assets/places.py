"""Where an asset may be found: the user's folder, an installed package, fedlab's cache."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

from fedlab.assets.asset import Asset, File
from fedlab.errors import FedlabError


def cache_folder() -> Path:
    """Return fedlab's cache: ``FEDLAB_CACHE``, else ``fedlab`` in the user's cache folder."""
    chosen = os.environ.get("FEDLAB_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedlab"


def cached(asset: Asset) -> Path:
    """Return the folder of this asset in the cache, fetched or not."""
    return cache_folder() / "assets" / asset.name


def place(asset: Asset) -> Path | None:
    """Return the first folder that holds the asset ready to use, or None."""
    candidates = [*_user_folders(asset)]
    if not asset.convert:
        candidates += _installed_folders(asset)
    return _first_with([*candidates, cached(asset)], asset.ready_paths)


def unconverted(asset: Asset) -> Path | None:
    """Return the folder that holds an asset's files as a package installs them, or None."""
    if not asset.convert:
        return None
    paths = [file.path for file in asset.files]
    return _first_with([*_user_folders(asset), *_installed_folders(asset)], paths)


def open_file(folder: Path, path: str) -> IO[bytes]:
    """Open ``folder/path`` for reading, or ``folder/path.gz`` decompressed.

    Debian packages contain data sets compressed, fedlab's cache uncompressed; this function serves
    both.

    Raises:
        FedlabError: If neither exists.
    """
    plain = folder / path
    if plain.is_file():
        return plain.open("rb")
    compressed = folder / f"{path}.gz"
    if compressed.is_file():
        return cast("IO[bytes]", gzip.open(compressed, "rb"))
    raise FedlabError(f"{plain} is missing; `fedlab assets get {folder.name}` fetches it again")


def first_wrong(folder: Path, files: Iterable[File]) -> str | None:
    """Describe the first file whose digest differs from the catalogue's, or return None."""
    for file in files:
        with open_file(folder, file.path) as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
        if file.sha256 and found != file.sha256:
            return f"{file.path} has SHA-256 {found[:16]}..., expected {file.sha256[:16]}..."
    return None


def _user_folders(asset: Asset) -> list[Path]:
    chosen = os.environ.get("FEDLAB_DATA")
    return [Path(chosen).expanduser() / asset.name] if chosen else []


def _installed_folders(asset: Asset) -> list[Path]:
    return [folder for way in asset.ways if (folder := way.installed()) is not None]


def _first_with(folders: Iterable[Path], paths: Iterable[str]) -> Path | None:
    wanted = tuple(paths)
    return next((f for f in folders if all(_is_there(f, path) for path in wanted)), None)


def _is_there(folder: Path, path: str) -> bool:
    return (folder / path).is_file() or (folder / f"{path}.gz").is_file()
