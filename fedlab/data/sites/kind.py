"""What each kind of data does: reads a site's own, and makes of it what the federation learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from fedlab.data.dataset import Encoding, Examples, IntArray, Scaling, Task
from fedlab.data.scaling import scaled
from fedlab.data.sites.given import read_any
from fedlab.data.sites.moments import Moments
from fedlab.data.sites.rows import SiteRows
from fedlab.data.sites.settings import SitesSettings
from fedlab.data.table_encoding import FloatArray

SHAPING = ("image_size", "channels")
"""Keys of the schema that other data sets have, too."""
Ends = tuple[tuple[float, ...], tuple[float, ...]]
"""Offset and scale of some columns."""


class SiteKind(ABC):
    """Reads one kind of data.

    Args:
        settings: What the federation asks for.

    Attributes:
        sources: The data sets whose keys a site's ``[data]`` has, so that they are read row by row;
            any other one is loaded as a whole.
    """

    sources: ClassVar[tuple[str, ...]]

    def __init__(self, settings: SitesSettings) -> None:
        self.settings = settings

    def read(self, data: Any, seed: int) -> SiteRows:
        """Return a site's rows.

        Args:
            data: The site's keys of ``[data]``.
            seed: The scenario's, for data sets that draw.

        Raises:
            Differs: If the data are not what the federation asks for.
            FedlabError: If they cannot be read.
        """
        if data.name in self.sources:
            return self.rows(data)
        # What shapes the inputs is the scenario's to say.
        shared = {k: getattr(self.settings, k) for k in SHAPING if k in type(data).model_fields}
        return read_any(data.model_copy(update=shared), self.task(None), seed)

    @abstractmethod
    def rows(self, data: Any) -> SiteRows:
        """Return a site's rows, of one of the sources."""

    @abstractmethod
    def task(self, moments: Moments | None) -> Task:
        """Return what is learned.

        Args:
            moments: All sites' statistics; None where they are not known yet, or given.
        """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the columns of numbers that statistics of the inputs are of."""
        return ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the numbers that are learned, which are scaled, too."""
        return () if self.settings.classes else (self.settings.target,)

    @property
    def needs_statistics(self) -> bool:
        """Return whether sites are asked for statistics before the first round."""
        return self.settings.statistics == "federated" and bool(self.inputs or self.outputs)

    def moments(self, rows: SiteRows, chosen: IntArray) -> Moments:
        """Return the statistics of some of a site's rows: of inputs, then of what is learned."""
        examples, which = rows.examples, torch.from_numpy(chosen)
        parts: list[FloatArray] = []
        if self.inputs:
            numbers = self.numbers(examples.inputs_at(which).double().numpy())
            parts += [numbers[:, [k]] for k in range(numbers.shape[1])]
        if self.outputs:
            targets = examples.targets_at(which).double().reshape(-1, 1).numpy()
            parts.append(targets)
        every = [Moments.of(part) for part in parts]
        return Moments(*(tuple(getattr(m, n)[0] for m in every) for n in Moments.__match_args__))

    def numbers(self, raw: FloatArray) -> FloatArray:
        """Return the numbers of raw inputs, (values, columns), that statistics are of."""
        return raw.reshape(-1, raw.shape[-1])

    def encode(self, rows: SiteRows, task: Task) -> Examples:
        """Return a site's rows as they are learned.

        Args:
            rows: The rows.
            task: What is learned, with all sites' statistics in its encoding.
        """
        encoding = task.encoding or Encoding()
        examples = rows.examples
        if encoding.features is not None:
            examples = examples.with_inputs(scaled(examples.inputs, encoding.features))
        if encoding.targets is not None:
            targets = scaled(examples.targets, encoding.targets)
            examples = replace(examples, targets=targets)
        return examples

    def kind_of_task(self) -> tuple[str, int, tuple[str, ...]]:
        """Return kind, outputs and labels of the task."""
        classes = self.settings.class_names
        if classes:
            return "classification", len(classes), classes
        return "regression", 1, (self.settings.target,)

    def scaling(self, moments: Moments | None) -> tuple[Scaling | None, Scaling | None]:
        """Return how inputs and targets are scaled."""
        offset, scale = self._ends(moments)
        split = len(self.inputs)
        features = Scaling(self.inputs, offset[:split], scale[:split]) if split else None
        if not self.outputs:
            return features, None
        return features, Scaling(self.outputs, offset[split:], scale[split:])

    def _ends(self, moments: Moments | None) -> Ends:
        if moments is not None:
            return moments.scaling
        if self.settings.statistics == "given":
            return self._given()
        return tuple(self.zeros().tolist()), tuple((self.zeros() + 1).tolist())

    def zeros(self) -> FloatArray:
        """Return a zero for each column that statistics are of."""
        return np.zeros(len(self.inputs) + len(self.outputs))

    def _given(self) -> Ends:
        """Return the scenario's own numbers."""
        settings = self.settings
        pairs = self.given()
        if self.outputs:
            pairs = [*pairs, (settings.target_mean or 0.0, settings.target_deviation or 1.0)]
        return tuple(mean for mean, _ in pairs), tuple(deviation for _, deviation in pairs)

    def given(self) -> list[tuple[float, float]]:
        """Return mean and deviation of each input column, as the scenario gives them."""
        return []
