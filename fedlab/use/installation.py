"""What an installation has, what it lacks, and what to type: ``fedlab doctor``."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fedlab import __version__
from fedlab.assets.places import cache_folder
from fedlab.errors import FedlabError, one_line

DISTRIBUTION = "fedlab-sim"
OLDEST = (3, 11)
SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED = 1 << 30
"""Bytes of shared memory below which there is a note: Docker gives a container 64 MB."""
FOR_DEVELOPERS = frozenset({"test", "docs"})


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is.
        state: "ok"; "note", where fedlab runs without; or "missing", where it does not run.
        found: What was found.
        remedy: What to type or to change, or nothing.
    """

    subject: str
    state: Literal["ok", "note", "missing"]
    found: str
    remedy: str = ""


def findings(deep: bool = False) -> Iterator[Finding]:
    """Yield what was found, one thing after another.

    Args:
        deep: Whether to start Ray, which takes seconds.
    """
    yield _python()
    yield _system()
    yield from _packages()
    yield from _devices()
    yield _writable("cache", cache_folder(), "FEDLAB_CACHE")
    yield _data()
    yield _writable("run folders", Path.cwd() / "runs", "--runs")
    if SHARED_MEMORY.is_dir():
        yield _shared_memory(shutil.disk_usage(SHARED_MEMORY).total)
    yield _encoding(sys.stdout.encoding or "ascii")
    if deep:
        yield _ray()


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}; fedlab {__version__}"
    if sys.version_info < OLDEST:
        return Finding("Python", "missing", found, "use Python 3.11 or newer")
    return Finding("Python", "ok", found)


def _system() -> Finding:
    found = f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs"
    if sys.platform.startswith("linux"):
        return Finding("system", "ok", found)
    return Finding("system", "note", found, "only Linux is tested")


def _packages() -> Iterator[Finding]:
    try:
        wanted = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        yield Finding("packages", "note", f"{DISTRIBUTION} is not installed", "pip install .")
        return
    extras: dict[str, list[Requirement]] = {}
    for requirement in wanted:
        extra = _extra(requirement)
        if extra is not None:
            extras.setdefault(extra, []).append(requirement)
        elif requirement.marker is None or requirement.marker.evaluate():
            yield package(requirement)
    for extra, needed in sorted(extras.items()):
        if extra not in FOR_DEVELOPERS:
            yield extra_finding(extra, needed)


def _extra(requirement: Requirement) -> str | None:
    """Return the extra that a requirement belongs to, if it does."""
    text = str(requirement.marker or "")
    _, found, rest = text.partition("extra ==")
    return rest.strip(" \"'()") if found else None


def package(requirement: Requirement) -> Finding:
    """Return whether a package that fedlab needs is here, in a version that it can use."""
    wanted = f"pip install '{requirement.name}{requirement.specifier}'"
    found = _installed(requirement)
    if found is None:
        return Finding(requirement.name, "missing", "not installed", wanted)
    if not requirement.specifier.contains(found, prereleases=True):
        return Finding(requirement.name, "missing", f"{found} does not fit", wanted)
    return Finding(requirement.name, "ok", found)


def extra_finding(extra: str, needed: list[Requirement]) -> Finding:
    """Return whether the packages of an extra are here."""
    parts = [package(each) for each in needed]
    found = ", ".join(f"{part.subject} {part.found}" for part in parts)
    if all(part.state == "ok" for part in parts):
        return Finding(f"extra {extra}", "ok", found)
    return Finding(f"extra {extra}", "note", found, f"pip install '{DISTRIBUTION}[{extra}]'")


def _installed(requirement: Requirement) -> str | None:
    try:
        return version(canonicalize_name(requirement.name))
    except PackageNotFoundError:
        return None


def _devices() -> Iterator[Finding]:
    try:
        from fedlab.engine.devices import described

        for device in described():
            memory = "" if device.memory is None else f", {device.memory / 1e9:,.1f} GB"
            precisions = ", ".join(device.precisions)
            yield Finding(f"device {device.name}", "ok", f"{device.model}{memory}; {precisions}")
    except (ImportError, OSError, RuntimeError, FedlabError) as error:
        yield Finding("devices", "missing", one_line(str(error)), "see docs/accelerators.md")


def _writable(subject: str, folder: Path, other: str) -> Finding:
    """Return whether a folder can be written, or made where it is not there yet."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"1")
    except OSError as error:
        found = f"{there} cannot be written: {error.strerror}"
        return Finding(subject, "missing", found, f"choose another with {other}")
    free = shutil.disk_usage(there).free
    return Finding(subject, "ok", f"{folder}, {free / 1e9:,.1f} GB free")


def _data() -> Finding:
    chosen = os.environ.get("FEDLAB_DATA")
    if not chosen:
        return Finding(
            "data folder", "ok", "FEDLAB_DATA is not set; packages and the cache are used"
        )
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        return Finding("data folder", "note", f"FEDLAB_DATA: {folder} is no folder", "correct it")
    if not os.access(folder, os.R_OK | os.X_OK):
        return Finding("data folder", "note", f"FEDLAB_DATA: {folder} cannot be read", "correct it")
    return Finding("data folder", "ok", f"FEDLAB_DATA: {folder}")


def _shared_memory(total: int) -> Finding:
    found = f"{total / 1e9:,.1f} GB"
    if total < LEAST_SHARED:
        remedy = "a container gets more with docker run --shm-size=4g; or engine.name = 'inline'"
        return Finding("shared memory", "note", found, remedy)
    return Finding("shared memory", "ok", found)


def _encoding(encoding: str) -> Finding:
    if encoding.lower().replace("-", "") == "utf8":
        return Finding("terminal", "ok", encoding)
    remedy = "export PYTHONUTF8=1, or letters such as µ are replaced"
    return Finding("terminal", "note", encoding, remedy)


def _ray(start: Callable[[], int] | None = None) -> Finding:
    try:
        cpus = (start or _started)()
    except (FedlabError, ImportError, OSError) as error:
        remedy = "engine.name = 'inline' needs no Ray"
        return Finding("Ray", "missing", one_line(str(error)), remedy)
    return Finding("Ray", "ok", f"started, with {cpus} CPUs")


def _started() -> int:
    """Start Ray as a run does, and return how many CPUs it has."""
    from fedlab.engine.ray.start import ensure_started

    ray, _ = ensure_started(None)
    return int(ray.cluster_resources().get("CPU", 0))
