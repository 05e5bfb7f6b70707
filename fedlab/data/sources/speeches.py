"""Speeches of Shakespeare's plays, to be told apart by play."""

from __future__ import annotations

from pydantic import Field, field_validator

from fedlab import assets
from fedlab.data.dataset import Dataset
from fedlab.data.formats.plays import single_speeches
from fedlab.data.texts.dataset import drawn_parts, encoded
from fedlab.data.texts.rows import TextRows
from fedlab.data.texts.settings import TokenSettings
from fedlab.data.texts.targets import targets_of
from fedlab.errors import FedlabError, unknown
from fedlab.registry import datasets

_ASSET, _ENDING = "shakespeare", "_gut.txt"


@datasets.register("speeches")
class Speeches:
    """Which of some of Shakespeare's plays a speech is from: texts of a sentence to a page."""

    class Settings(TokenSettings):
        """Keys of the speeches data set."""

        name: str = "speeches"
        plays: tuple[str, ...] = Field(
            ("hamlet", "henry_v", "macbeth", "midsummer_nights_dream", "othello",
             "romeo_and_juliet"),
            min_length=2,
            description="the plays, as their files are called",
        )  # fmt: skip
        min_characters: int = Field(
            60, ge=1, le=10_000, description="leave out speeches with fewer characters"
        )
        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="fraction held out as the server's test set, stratified"
        )

        @field_validator("plays")
        @classmethod
        def _are_there(cls, plays: tuple[str, ...]) -> tuple[str, ...]:
            files = assets.find(_ASSET).files
            known = [file.path.removesuffix(_ENDING) for file in files]
            for play in plays:
                if play not in known:
                    raise ValueError(unknown("play", play, known))
            return plays

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return tokens (N, length) with the number of the play (N,).

        Raises:
            FedlabError: If the plays are not to be had, or no speech is long enough.
        """
        folder = assets.ensure(_ASSET)
        texts, labels = [], []
        for play in sorted(set(self.settings.plays)):
            content = (folder / f"{play}{_ENDING}").read_text(encoding="utf-8")
            for _, words in single_speeches(content):
                if len(words) >= self.settings.min_characters:
                    texts.append(words)
                    labels.append(play)
        if not texts:
            raise FedlabError(
                f"data.min_characters: no speech has {self.settings.min_characters} characters"
            )
        rows = TextRows(texts, labels, labels, [False] * len(texts))
        targets = targets_of(rows, "classes", "data.plays")
        parts = drawn_parts(rows, targets, self.settings.test_fraction, "data.plays", seed)
        return encoded(rows, targets, parts, self.settings)
