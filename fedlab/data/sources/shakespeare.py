"""The roles in Shakespeare's plays, each a natural client."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, field_validator

from fedlab import assets
from fedlab.data.dataset import Dataset, DataSettings, Encoding, Examples, Task
from fedlab.data.formats.plays import speeches
from fedlab.data.textgenrnn import textgenrnn_tokens
from fedlab.data.vocabulary import TokenArray, Vocabulary
from fedlab.errors import FedlabError, unknown
from fedlab.registry import datasets

_ASSET, _ENDING = "shakespeare", "_gut.txt"
_NUMERAL = re.compile(r"[ivx]+")


@datasets.register("shakespeare")
class Shakespeare:
    """Predict the next character of a role's lines in Shakespeare's plays; roles are clients.

    The task of LEAF (Caldas et al. 2018) and McMahan et al. 2017.
    """

    class Settings(DataSettings):
        """Keys of the shakespeare data set."""

        name: str = "shakespeare"
        length: int = Field(80, ge=1, le=1000, description="input characters")
        stride: int = Field(
            10, ge=1, description="characters from one window to the next within a role"
        )
        predict: Literal["last", "every"] = Field(
            "last",
            description="'last': the character after the window; 'every': the one after each",
        )
        vocabulary: Literal["own", "textgenrnn"] = Field(
            "own", description="'own': the characters that occur; 'textgenrnn': that network's 465"
        )
        plays: tuple[str, ...] = Field(
            (),
            description="the plays whose roles are there, as their files are called, such as "
            "'hamlet'; left out: all. The vocabulary is that of all plays, so that a model of some "
            "fits others",
        )
        min_characters: int = Field(2000, ge=2, description="leave out roles with fewer characters")
        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="last part of each role's lines, the server's test set"
        )

        @field_validator("plays")
        @classmethod
        def _are_there(cls, plays: tuple[str, ...]) -> tuple[str, ...]:
            known = [file.path.removesuffix(_ENDING) for file in assets.find(_ASSET).files]
            for play in plays:
                if play not in known:
                    raise ValueError(unknown("play", play, known))
            return plays

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return int16 windows (N, length) with the next characters, (N,) or (N, length)."""
        settings = self.settings
        plays = self._plays()
        vocabulary = self._vocabulary([text for roles in plays.values() for text in roles.values()])
        chosen = settings.plays or tuple(plays)
        roles = {
            f"{role}, {_title(play)}": text
            for play in sorted(chosen, key=list(plays).index)
            for role, text in plays[play].items()
        }
        if not roles:
            raise FedlabError(
                f"data.min_characters: no role says {settings.min_characters} characters"
            )
        numbers = [vocabulary.encode(text) for text in roles.values()]
        borders = [round(len(role) * (1 - settings.test_fraction)) for role in numbers]
        halves = zip(numbers, borders, strict=True)
        pairs = [(role[:border], role[border:]) for role, border in halves]
        train, test = (self._windows([pair[part] for pair in pairs], [*roles]) for part in (0, 1))
        task = Task(
            "next-token",
            "text",
            (settings.length,),
            len(vocabulary),
            vocabulary.tokens,
            vocabulary=len(vocabulary),
            every_position=settings.predict == "every",
            encoding=Encoding(vocabulary.tokens),
        )
        return Dataset(task, train, test)

    def _plays(self) -> dict[str, dict[str, str]]:
        """Return each role's lines, by role, of all plays, by the names of their files."""
        folder, plays = assets.ensure(_ASSET), {}
        for file in assets.find(_ASSET).files:
            plays[file.path.removesuffix(_ENDING)] = {
                role: self._spell(text)
                for role, text in speeches(_read(folder / file.path)).items()
                if len(text) >= self.settings.min_characters
            }
        return plays

    def _spell(self, text: str) -> str:
        """Return the text in characters of the vocabulary: textgenrnn has no line break."""
        return text if self.settings.vocabulary == "own" else text.replace("\n", " ")

    def _vocabulary(self, texts: list[str]) -> Vocabulary:
        """Return the vocabulary; number 0 is for padding and for unknown characters."""
        if self.settings.vocabulary == "own":
            return Vocabulary(["<unknown>", *sorted(set().union(*texts))])
        return Vocabulary(textgenrnn_tokens())

    def _windows(self, texts: list[TokenArray], names: list[str]) -> Examples:
        length, stride = self.settings.length, self.settings.stride
        pieces, groups = [], []
        for group, text in enumerate(texts):
            if len(text) > length:
                pieces.append(np.lib.stride_tricks.sliding_window_view(text, length + 1)[::stride])
                groups.append(np.full(len(pieces[-1]), group, dtype=np.int64))
        if not pieces:
            raise FedlabError(
                f"data.length: no role has {length + 1} characters in both parts; choose a shorter "
                "window"
            )
        windows = torch.from_numpy(np.concatenate(pieces))
        last = self.settings.predict == "last"
        targets = windows[:, -1] if last else windows[:, 1:]
        inputs = windows[:, :-1].contiguous()
        return Examples(inputs, targets.long(), np.concatenate(groups), tuple(names))


def _title(stem: str) -> str:
    """Return "Henry IV Part 1" for ``henry_iv_part_1``."""
    words = (word.upper() if _NUMERAL.fullmatch(word) else word.title() for word in stem.split("_"))
    return " ".join(words)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FedlabError(f"{path} cannot be read: {error}") from error
