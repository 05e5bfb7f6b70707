"""A user's own texts, with classes or scores."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fedlab.data.dataset import Dataset
from fedlab.data.names import shown
from fedlab.data.texts.dataset import text_dataset
from fedlab.data.texts.reading import read_texts
from fedlab.data.texts.settings import TextSettings
from fedlab.registry import datasets


@datasets.register("text")
class Text:
    """Your own texts with classes or scores: CSV, TSV, Parquet, JSON lines or folders of .txt."""

    Settings: ClassVar[type[TextSettings]] = TextSettings

    def __init__(self, settings: TextSettings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return tokens (N, length), padded at the end, with classes (N,) or scores (N, 1).

        Raises:
            FedlabError: If a file or a row cannot be read, or there is nothing to learn.
        """
        settings = self.settings
        where = "data.sites"
        if settings.path is not None:
            where = f"data.path: {shown(Path(settings.path).expanduser())}"
        return text_dataset(read_texts(settings), settings, where, seed)
