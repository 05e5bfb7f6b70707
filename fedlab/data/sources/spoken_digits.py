"""The Free Spoken Digit Dataset, each speaker a client."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from fedlab.data.dataset import Dataset
from fedlab.data.formats.sound import WAV
from fedlab.data.names import shown
from fedlab.data.recordings import SoundSettings, sound_dataset
from fedlab.data.sound_files import Recordings, SoundFile, matched
from fedlab.errors import AssetMissing, FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

PATTERN = "{label}_{client}_{}"
_NAMES = ("spoken-digits", "free-spoken-digit-dataset", "fsdd", "FSDD")
_HOW = (
    "get the Free Spoken Digit Dataset (CC BY-SA 4.0) from "
    "github.com/Jakobovski/free-spoken-digit-dataset and name its folder or zip file with "
    "data.path, or put it into $FEDLAB_DATA as spoken-digits or spoken-digits.zip"
)


@datasets.register("spoken-digits")
class SpokenDigits:
    """3,000 recordings of the digits 0 to 9 by 6 speakers, who are the clients (FSDD).

    Jackson et al., "Free Spoken Digit Dataset", 2018.
    """

    class Settings(SoundSettings):
        """Keys of the spoken-digits data set."""

        name: str = "spoken-digits"
        path: FilePath | None = Field(
            None,
            description="the data set's folder or zip file; default: spoken-digits, "
            "spoken-digits.zip, fsdd or fsdd.zip in $FEDLAB_DATA",
        )

        @property
        def name_pattern(self) -> str | None:
            """Return what the names of files say."""
            return PATTERN

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 log-mel spectrograms (N, frames, mels) with digits (N,).

        Raises:
            AssetMissing: If the data set is not on this machine.
            FedlabError: If a recording cannot be read, or its name is none of the data set's.
        """
        place = self._place()
        files = _in_zip(place) if place.is_file() else _in_folder(place)
        named, faults = matched(sorted(files, key=lambda pair: str(pair[1])), PATTERN)
        if not named:
            raise FedlabError(f"data.path: {shown(place)} holds no recordings of the data set")
        return sound_dataset(self.settings, Recordings(named, [], faults), "data.path", seed)

    def _place(self) -> Path:
        if self.settings.path is not None:
            path = Path(self.settings.path).expanduser()
            if not path.exists():
                raise FedlabError(f"data.path: there is no {shown(path)}; {_HOW}")
            return path
        folder = os.environ.get("FEDLAB_DATA")
        if folder:
            for name in _NAMES:
                for path in (Path(folder, name), Path(folder, f"{name}.zip")):
                    if path.expanduser().exists():
                        return path.expanduser()
        raise AssetMissing(f"data set 'spoken-digits' is not on this machine; {_HOW}")


def _in_folder(folder: Path) -> Iterator[tuple[SoundFile, Path]]:
    for path in folder.rglob("*"):
        if path.suffix.lower() in WAV and path.is_file():
            yield path, path.relative_to(folder)


def _in_zip(file: Path) -> Iterator[tuple[SoundFile, Path]]:
    """Yield the recordings in a zip file.

    Raises:
        FedlabError: If it is none.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise FedlabError(f"data.path: {shown(file)} is not a whole zip file: {error}") from error
    for name in archive.namelist():
        if Path(name).suffix.lower() in WAV and not Path(name).name.startswith("."):
            yield zipfile.Path(archive, name), Path(name)
