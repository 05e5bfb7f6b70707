"""Ways to get an asset without a package: plain downloads, torchvision, a dependency's files."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.assets.asset import File, WayFailed
from fedlab.assets.packages import folder_in_package
from fedlab.assets.reach import STALLED, no_endless_wait


@dataclass(frozen=True)
class Download:
    """Files under one base address, each at its own path."""

    address: str

    @property
    def label(self) -> str:
        """Return the address."""
        return f"download {self.address}"

    @property
    def is_packaged(self) -> bool:
        """Return False."""
        return False

    def installed(self) -> Path | None:
        """Return None."""
        return None

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        """Download every file."""
        for file in files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._copy(file, target)
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                raise WayFailed(f"no answer ({getattr(error, 'reason', error)})") from error

    def _copy(self, file: File, target: Path) -> None:
        address = f"{self.address}/{file.path}"
        with (
            urllib.request.urlopen(address, timeout=STALLED) as answer,
            target.open("wb") as written,
        ):
            shutil.copyfileobj(answer, written)


@dataclass(frozen=True)
class Torchvision:
    """A data set class of torchvision, whose own download and checksums do the work.

    Attributes:
        dataset: Name of the class in ``torchvision.datasets``.
        parts: Constructor arguments, one mapping for each part that is downloaded by itself.
        folder: The folder of the files under torchvision's root; empty for the root itself.
    """

    dataset: str
    parts: tuple[Mapping[str, Any], ...]
    folder: str = ""

    @property
    def label(self) -> str:
        """Return the class."""
        return f"torchvision {self.dataset}"

    @property
    def is_packaged(self) -> bool:
        """Return False."""
        return False

    def installed(self) -> Path | None:
        """Return None."""
        return None

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        """Let torchvision download every part, then move the files."""
        from torchvision import datasets

        root = scratch / "torchvision"
        for arguments in self.parts:
            try:
                with no_endless_wait():
                    getattr(datasets, self.dataset)(root=root, download=True, **arguments)
            except (OSError, RuntimeError) as error:
                reason = str(getattr(error, "reason", error))
                raise WayFailed(reason.splitlines()[0].rstrip(":")) from error
        for file in files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            (root / self.folder / file.path).replace(target)


@dataclass(frozen=True)
class Dependency:
    """Files that one of fedlab's dependencies installs."""

    distribution: str
    folder: str

    @property
    def label(self) -> str:
        """Return the command that installs it."""
        return f"pip install {self.distribution}"

    @property
    def is_packaged(self) -> bool:
        """Return False: there is nothing to fetch."""
        return False

    def installed(self) -> Path | None:
        """Return the folder in the installed package."""
        return folder_in_package(self.folder)

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        """Raise: fedlab does not repair the installation of a dependency."""
        raise WayFailed("a dependency of fedlab that this installation lacks")
