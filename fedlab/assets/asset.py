"""The record of an asset: a data set or a set of weights that fedlab knows how to get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

Say = Callable[[str], None]
Conversion = Callable[[Path, Path], None]

WEIGHTS_FILE = "model.safetensors"


class WayFailed(Exception):
    """One way to get an asset did not work; the message says why, in a few words."""


@dataclass(frozen=True)
class File:
    """One file of an asset.

    Attributes:
        path: Where it lies under the asset's folder, and under the folder that carries it.
        sha256: Of its content, decompressed where the carrier compresses it; empty only where the
            library that downloads it checks a sum of its own.
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
        """Return the command or source, as it stands in progress lines and error messages."""
        ...

    @property
    def is_packaged(self) -> bool:
        """Return whether a package of a registry carries the files."""
        ...

    def installed(self) -> Path | None:
        """Return the folder where an installed package would hold the files, if it is there."""
        ...

    def fetch(self, files: tuple[File, ...], scratch: Path, folder: Path) -> None:
        """Write the files into ``folder``; ``scratch`` is an empty folder for what lies between.

        Raises:
            WayFailed: If this way does not work here and now.
        """
        ...


@dataclass(frozen=True)
class Asset:
    """A data set or a set of pretrained weights.

    Attributes:
        name: What the user types.
        kind: Data, or weights.
        title: One line for ``fedlab assets list``.
        licence: The licence of the content, as far as it is known.
        size: Bytes to download.
        files: The files, as they are carried.
        ways: The ways to get them, in order.
        convert: For weights: ``convert(folder of the files, folder to write to)``.
        products: What ``convert`` writes; an asset without conversion is its files.
        needs: Distributions that the conversion imports beyond fedlab's dependencies.
        extra: fedlab's extra that installs ``needs``.
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

    @property
    def ready_paths(self) -> tuple[str, ...]:
        """Return the paths that make the asset ready to use."""
        return self.products if self.convert else tuple(file.path for file in self.files)

    @property
    def is_packaged(self) -> bool:
        """Return whether some registry's package carries it."""
        return any(way.is_packaged for way in self.ways)

    @property
    def noun(self) -> str:
        """Return how error messages call it."""
        return f"{'data set' if self.kind == 'data' else 'set of weights'} '{self.name}'"
