"""Data sets that scikit-learn installs; they are always available."""

from __future__ import annotations

from fedlab.assets.asset import Asset, File
from fedlab.assets.downloads import Dependency

_SCIKIT_LEARN = (Dependency("scikit-learn", "sklearn/datasets/data"),)


def _bundled(name: str, title: str, *paths: str) -> Asset:
    return Asset(
        name=name,
        kind="data",
        title=title,
        licence="BSD-3-Clause",
        size=0,
        files=tuple(File(path) for path in paths),
        ways=_SCIKIT_LEARN,
    )


ASSETS = (
    _bundled("digits", "1,797 handwritten digits, 8×8 grey", "digits.csv"),
    _bundled("iris", "150 flowers, 4 measures, 3 species", "iris.csv"),
    _bundled("wine", "178 wines, 13 measures, 3 growers", "wine_data.csv"),
    _bundled("breast-cancer", "569 tumours, 30 measures, 2 classes", "breast_cancer.csv"),
    _bundled(
        "diabetes",
        "442 patients, 10 measures, progression after a year",
        "diabetes_data_raw.csv",
        "diabetes_target.csv",
    ),
)
