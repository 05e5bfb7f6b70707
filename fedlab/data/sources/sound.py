"""A user's own recordings: in folders, listed in a table, or told apart by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from fedlab.data.clients_by import Site, check_path_or_sites
from fedlab.data.dataset import Dataset
from fedlab.data.formats.table import MISSING
from fedlab.data.names import shown
from fedlab.data.recordings import SoundSettings, sound_dataset
from fedlab.data.site_folders import FOLDER
from fedlab.data.sound_files import (
    Columns,
    Recordings,
    by_pattern,
    compiled,
    in_folders,
    in_table,
    of_sites,
)
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

_PATH, _SITES = "data.path", "data.sites"


@datasets.register("sound")
class Sound:
    """Your own recordings: path/<class>/*.wav, path/<client>/<class>/*.wav, a CSV table, a pattern.

    They become log-mel spectrograms, as series of one step per window.
    """

    class Settings(SoundSettings):
        """Keys of the sound data set."""

        name: str = "sound"
        path: FilePath | None = Field(
            None,
            description="folder with one subfolder per class, or with the parts train and test (or "
            "val), each with one subfolder per class; with pattern any folder; or a CSV file with "
            "a row per recording",
        )
        clients_by: str | None = Field(
            None,
            description="'folder': the first folder level is the client, path/<client>/<class>/*; "
            "of a CSV file the column that says whose recording it is",
        )
        sites: tuple[Site, ...] = Field(
            (),
            description="in place of path, a table for each client: its name, and its folder or "
            "CSV file, laid out as path is without clients_by",
        )
        pattern: str | None = Field(
            None,
            min_length=1,
            max_length=500,
            description="what the names of files say, without suffix: {label}, {client} and {} for "
            "anything else, as in '{label}_{client}_{}'; with / also of the folders above",
        )
        path_column: str = Field(
            "path", description="column of a CSV file that holds the recording's path"
        )
        label_column: str = Field("label", description="column of a CSV file that holds the class")
        missing: tuple[str, ...] = Field(
            MISSING,
            description="words that stand for a missing path, class or client in a CSV file, in "
            "any case; an empty field always does",
        )

        @model_validator(mode="after")
        def _says_where(self) -> Self:
            check_path_or_sites(self.path, self.sites, self.clients_by, "folder or file")
            if self.pattern is not None:
                compiled(self.pattern)
                if self.clients_by:
                    raise ValueError("pattern says who is a client, by {client}; no clients_by")
                if self.sites and "{client}" in self.pattern:
                    raise ValueError("sites say who is a client; write {} for {client} in pattern")
            return self

        @property
        def name_pattern(self) -> str | None:
            """Return what the names of files say, if anything."""
            return self.pattern

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 log-mel spectrograms (N, frames, mels) with classes (N,).

        Raises:
            FedlabError: If a folder or file is missing or holds no recordings, or one of them
                cannot be read.
        """
        settings = self.settings
        if settings.sites:
            tables = any(Path(site.path).expanduser().is_file() for site in settings.sites)
            read = self._recordings if tables or settings.pattern else None
            return sound_dataset(settings, of_sites(settings.sites, read, _SITES), _SITES, seed)
        path = Path(settings.path or "").expanduser()
        return sound_dataset(settings, self._recordings(path, _PATH), _PATH, seed)

    def _recordings(self, path: Path, key: str) -> Recordings:
        settings, column = self.settings, self.settings.clients_by
        if path.is_file():
            if settings.pattern is not None:
                raise FedlabError(f"data.pattern is for folders, and {shown(path)} is a file")
            if path.suffix.lower() != ".csv":
                raise FedlabError(f"{key}: {shown(path)} is no folder and no CSV file")
            columns = Columns(settings.path_column, settings.label_column, column, settings.missing)
            return in_table(path, columns, key)
        if settings.pattern is not None:
            return by_pattern(path, settings.pattern, key)
        if column not in (None, FOLDER):
            raise FedlabError(
                f"data.clients_by: '{column}' is a column of a CSV file, and {shown(path)} is none;"
                f" of a folder it is '{FOLDER}'"
            )
        return in_folders(path, column == FOLDER, key)
