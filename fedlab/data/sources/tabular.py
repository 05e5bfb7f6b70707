"""Small classical tables from scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field

from fedlab.data.dataset import (
    Dataset,
    DataSettings,
    Encoding,
    Examples,
    IntArray,
    Task,
)
from fedlab.data.holdout import hold_out
from fedlab.data.scaling import standardise
from fedlab.registry import datasets


class ScikitLearnTable:
    """A table of scikit-learn; features standardised by the training part's statistics.

    Attributes:
        loader: The function of ``sklearn.datasets`` that reads it.
        arguments: Its arguments.
    """

    loader: ClassVar[str]
    arguments: ClassVar[dict[str, Any]] = {}

    class Settings(DataSettings):
        """Keys of the tabular data sets."""

        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="fraction held out as the server's test set"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 features (N, F) with classes (N,), or with standardised numbers (N, 1)."""
        import sklearn.datasets

        bunch: Any = getattr(sklearn.datasets, self.loader)(**self.arguments)
        labels = tuple(str(name) for name in bunch.get("target_names", ()))
        classes = bunch.target if labels else None
        rows = hold_out(len(bunch.data), self.settings.test_fraction, seed, classes)
        inputs, features = standardise(_parts(bunch.data, rows), bunch.feature_names)
        kind = "classification" if labels else "regression"
        targets, scaling = _parts(bunch.target, rows), None
        if not labels:
            targets, scaling = standardise([part[:, None] for part in targets], ["target"])
        task = Task(
            kind,
            "tabular",
            (bunch.data.shape[1],),
            len(labels) or 1,
            labels,
            encoding=Encoding(features=features, targets=scaling),
        )
        train, test = (Examples(*pair) for pair in zip(inputs, targets, strict=True))
        return Dataset(task, train, test)


def _parts(values: Any, rows: tuple[IntArray, IntArray]) -> list[torch.Tensor]:
    return [torch.from_numpy(values[part]) for part in rows]


@datasets.register("iris")
class Iris(ScikitLearnTable):
    """150 iris flowers, 4 measures, 3 species."""

    loader = "load_iris"


@datasets.register("wine")
class Wine(ScikitLearnTable):
    """178 wines, 13 chemical measures, 3 growers."""

    loader = "load_wine"


@datasets.register("breast-cancer")
class BreastCancer(ScikitLearnTable):
    """569 breast tumours, 30 measures of cell nuclei, malignant or benign."""

    loader = "load_breast_cancer"


@datasets.register("diabetes")
class Diabetes(ScikitLearnTable):
    """442 patients, 10 measures, the disease's progression after a year (regression)."""

    loader = "load_diabetes"
    arguments: ClassVar[dict[str, Any]] = {"scaled": False}
