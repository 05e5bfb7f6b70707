"""Fed-Heart-Disease: heart disease at four hospitals, split and scaled as FLamby does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from fedlab.data.dataset import Dataset, DataSettings, Encoding, Examples, IntArray, Task
from fedlab.data.formats.table import Row, check_length, finite, read_rows
from fedlab.data.names import shown
from fedlab.data.table_encoding import Fitted, TableColumn, TableEncoding
from fedlab.data.tables.columns import raw_of
from fedlab.data.tables.reading import MISSING_WORDS, Frame, Part, joined
from fedlab.errors import AssetMissing, FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

HOSPITALS = {
    "Cleveland": "processed.cleveland.data",
    "Hungary": "processed.hungarian.data",
    "Switzerland": "processed.switzerland.data",
    "VA": "processed.va.data",
}
"""The hospitals, in FLamby's order, and the file of each."""
COLUMNS = (
    *("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak"),
    *("slope", "ca", "thal", "num"),
)
"""The columns of UCI's files, which have no header."""
LEFT_OUT = ("slope", "ca", "thal")
ONE_HOT = {"cp": ("2", "3", "4"), "restecg": ("1", "2")}
"""Categories, each without its first value, whose features are all 0."""
TARGET, HOSPITAL = "num", "hospital"
TRAIN_FRACTION = 0.66
SEED = 43
FOLDER = "heart-disease"
FloatArray = npt.NDArray[np.float64]


@datasets.register("fed-heart-disease")
class FedHeartDisease:
    """Tell heart disease from 13 features of 740 patients at four hospitals, each a client.

    Du Terrail et al., "FLamby: datasets and benchmarks for cross-silo federated learning in
    realistic healthcare settings", NeurIPS 2022. The columns slope, ca and thal are left out, and
    then rows with missing values: 303, 261, 46 and 130 are left. 66 % of each hospital's are for
    training (scikit-learn's ``train_test_split``, random_state 43, stratified where there are three
    rows of either class); cp and restecg are one-hot without their first values; all features
    are scaled to mean 0 and deviation 1 (the sample's) by each hospital's training rows.
    """

    class Settings(DataSettings):
        """Keys of the fed-heart-disease data set."""

        name: str = "fed-heart-disease"
        path: FilePath | None = Field(
            None,
            description="folder of UCI's processed.*.data; default: heart-disease in FEDLAB_DATA",
        )
        statistics: Literal["client", "federated"] = Field(
            "client",
            description="by whose training rows a hospital's training rows are scaled: its own, or "
            "all hospitals'; FLamby's pooled training has the latter",
        )
        test_statistics: Literal["client", "federated"] = Field(
            "client",
            description="by whose training rows test rows are scaled; FLamby's pooled test has all",
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 features (N, 13) with classes (N,): 1 where there is disease.

        The split is always the same, whatever the seed.

        Raises:
            FedlabError: If a file is missing or is not what UCI has.
        """
        folder = _folder(self.settings.path)
        frames = [_frame(folder / file) for file in HOSPITALS.values()]
        frame = joined(frames)
        hospital = frame.parts_of_rows()
        diseased = np.array([float(text) > 0 for text in frame.columns[TARGET]], dtype=np.int64)
        parts = [_split(diseased[hospital == k]) for k in range(len(HOSPITALS))]
        starts = np.cumsum([0, *(len(part.lines) for part in frame.parts)])[:-1]
        train, test = (
            np.concatenate([start + part[k] for start, part in zip(starts, parts, strict=True)])
            for k in (0, 1)
        )
        table, raw = _encoded(frame, hospital, train)
        inputs = [
            torch.from_numpy(table.encode(raw[rows], hospital[rows] if whose == "client" else None))
            for rows, whose in (
                (train, self.settings.statistics),
                (test, self.settings.test_statistics),
            )
        ]
        targets, names = torch.from_numpy(diseased), tuple(HOSPITALS)
        task = Task(
            "classification",
            "tabular",
            (inputs[0].shape[1],),
            1,
            ("healthy", "diseased"),
            encoding=Encoding(table=table),
            reported=("accuracy", "balanced_accuracy", "auroc", "auprc", "macro_f1"),
        )
        halves = [
            Examples(given, targets[rows], hospital[rows], names)
            for given, rows in zip(inputs, (train, test), strict=True)
        ]
        return Dataset(task, *halves)


def _folder(path: str | None) -> Path:
    """Return the folder that holds the files.

    Raises:
        AssetMissing: If there is none; the message says how to get them.
    """
    chosen = os.environ.get("FEDLAB_DATA")
    places = [Path(path)] if path else []
    if chosen and not path:
        places = [Path(chosen) / FOLDER, Path(chosen)]
    for place in places:
        if all((place / file).is_file() for file in HOSPITALS.values()):
            return place
    looked = f"; {' and '.join(shown(place) for place in places)} lack them" if places else ""
    raise AssetMissing(
        f"{'data.path' if path else 'data.name'}: fed-heart-disease reads "
        f"{', '.join(HOSPITALS.values())}{looked}; download "
        "https://archive.ics.uci.edu/static/public/45/heart+disease.zip, unpack it, and set "
        "data.path to its folder, or put them in heart-disease in the folder FEDLAB_DATA"
    )


def _frame(path: Path) -> Frame:
    """Return one hospital's whole rows, without the columns that all leave out.

    Raises:
        FedlabError: If a row has another number of fields, or one of them is no number.
    """
    rows = read_rows(path)
    if rows and finite(rows[0].fields[0]) is None and rows[0].fields[0].strip() == COLUMNS[0]:
        rows.pop(0)  # Some copies have a header.
    kept = [place for place, name in enumerate(COLUMNS) if name not in LEFT_OUT]
    whole = [row for row in rows if not _has_gap(row, kept, path)]
    if not whole:
        raise FedlabError(f"data.path: {shown(path)} holds no row without missing values")
    lines = np.array([row.line for row in whole], dtype=np.int64)
    columns = {COLUMNS[place]: [row.fields[place].strip() for row in whole] for place in kept}
    return Frame(columns, (Part(f"data.path: {shown(path)}", ",", lines),))


def _has_gap(row: Row, kept: list[int], path: Path) -> bool:
    where = f"data.path: {shown(path)}, line {row.line}"
    check_length(row.fields, len(COLUMNS), where, "format")
    fields = [row.fields[place].strip() for place in kept]
    for place, text in zip(kept, fields, strict=True):
        if text not in ("", "?") and finite(text) is None:
            raise FedlabError(f"{where}, column '{COLUMNS[place]}': '{text}' is not a number")
    return any(text in ("", "?") for text in fields)


def _split(diseased: IntArray) -> tuple[IntArray, IntArray]:
    """Return the rows of a hospital's training and test part, each ascending."""
    from sklearn.model_selection import train_test_split

    counts = np.bincount(diseased, minlength=2)
    train, test = train_test_split(
        np.arange(len(diseased)),
        train_size=TRAIN_FRACTION,
        test_size=1.0 - TRAIN_FRACTION,
        random_state=SEED,
        shuffle=True,
        stratify=diseased if (counts > 2).all() else None,
    )
    return np.sort(train), np.sort(test)


def _encoded(frame: Frame, hospital: IntArray, train: IntArray) -> tuple[TableEncoding, FloatArray]:
    """Return how rows are encoded, by the training rows of each hospital and of all, and slots."""
    columns = tuple(_columns(frame))
    slots = len(columns)
    plain = Fitted((0.0,) * slots, (0.0,) * slots, (1.0,) * slots)
    table = TableEncoding(columns, plain, TARGET, "refuse", MISSING_WORDS)
    raw = raw_of(frame, columns, MISSING_WORDS)
    features = table.encode(raw).astype(np.float64)
    own = [train[hospital[train] == k] for k in range(len(HOSPITALS))]
    return (
        replace(
            table,
            fitted=_scaled(plain, features[train]),
            clients_by=HOSPITAL,
            clients=tuple(HOSPITALS),
            by_client=tuple(_scaled(plain, features[rows]) for rows in own),
        ),
        raw,
    )


def _columns(frame: Frame) -> Iterator[TableColumn]:
    for name in frame.columns:
        if name in ONE_HOT:
            yield TableColumn(name, "category", ONE_HOT[name])
        elif name != TARGET:
            yield TableColumn(name, "number")


def _scaled(plain: Fitted, features: FloatArray) -> Fitted:
    """Return statistics that scale features by these rows; a constant one is not divided."""
    deviation = features.std(axis=0, ddof=1)
    divided = np.where(deviation > 0, deviation, 1.0)
    return replace(
        plain, mean=tuple(features.mean(axis=0).tolist()), deviation=tuple(divided.tolist())
    )
