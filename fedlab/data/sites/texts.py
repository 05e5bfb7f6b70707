"""Sites of texts: tables, or folders of files, cut into the federation's tokens."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from fedlab import registry
from fedlab.data.dataset import Examples, Task
from fedlab.data.formats.table import finite
from fedlab.data.names import class_name
from fedlab.data.sites.kind import SiteKind
from fedlab.data.sites.moments import Moments
from fedlab.data.sites.rows import Difference, Differs, SiteRows, numbered
from fedlab.data.sites.settings import PRINTABLE
from fedlab.data.texts.reading import read_place
from fedlab.data.texts.rows import TextRows
from fedlab.data.tokenisers import PADDING, UNKNOWN, OwnTokens, Tokeniser, tokeniser_for
from fedlab.data.vocabulary import Vocabulary


class Texts(SiteKind):
    """Texts with classes or scores."""

    sources: ClassVar[tuple[str, ...]] = ("text", "text-classification", "huggingface")

    @cached_property
    def _tokeniser(self) -> Tokeniser:
        settings, tokens = self.settings, self.settings.tokens
        if tokens not in ("characters", "words"):
            return tokeniser_for(tokens, (), 0)
        known = settings.vocabulary or PRINTABLE
        every = dict.fromkeys((PADDING, UNKNOWN, *known))
        return OwnTokens("words" if tokens == "words" else "characters", Vocabulary([*every], 1))

    def task(self, moments: Moments | None) -> Task:
        """Return the classification or regression, with how texts become tokens."""
        kind, outputs, labels = self.kind_of_task()
        tokeniser = self._tokeniser
        return Task(
            kind,
            "text",
            (self.settings.length,),
            outputs,
            labels,
            vocabulary=tokeniser.size,
            input_padding=tokeniser.padding,
            encoding=replace(tokeniser.encoding, targets=self.scaling(moments)[1]),
        )

    def rows(self, data: Any) -> SiteRows:
        """Return the texts of a site's file or folder."""
        read = self._read(data)
        order = sorted(range(len(read)), key=lambda row: read.held_out[row])
        targets = self._targets(read)
        inputs = self._tokeniser.encode([read.texts[row] for row in order], self.settings.length)
        return SiteRows(
            Examples(inputs, targets[torch.tensor(order)]), sum(read.held_out), read.notes
        )

    def _read(self, data: Any) -> TextRows:
        if data.name != "huggingface":
            return read_place(Path(data.path), data, "data.path")
        found: TextRows | None = registry.datasets.get(data.name)(data).texts()
        if found is None:
            raise Differs([Difference.of("its data set's inputs are no texts")])
        return found

    def _targets(self, rows: TextRows) -> torch.Tensor:
        if self.settings.classes:
            return numbered(rows.labels, self.settings.class_names)
        numbers = [finite(class_name(label)) for label in rows.labels]
        for row, number in enumerate(numbers):
            if number is None:
                whole = f"{rows.places[row]}: the score is not a number"
                raise Differs([Difference(whole, "a score is not a number")])
        return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)
