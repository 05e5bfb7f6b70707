"""A workload for the peers: settings of a scenario file, clients' pictures as arrays.

Needs only NumPy, because each peer runs in a virtual environment of its own.
"""

from __future__ import annotations

import gzip
import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HEADER = {"images": 16, "labels": 8}


@dataclass(frozen=True)
class Workload:
    """A workload: model, data and settings.

    Attributes:
        model: Name of the architecture, ``mcmahan-cnn`` or ``mcmahan-2nn``.
        clients: Pictures (n, 28, 28) float32 in 0..1 and labels (n,) int64 of each client.
        test: Pictures and labels of the test set.
        cohort: Clients per round.
        rate: Learning rate of the clients' SGD, one epoch.
    """

    model: str
    clients: list[tuple[np.ndarray, np.ndarray]]
    test: tuple[np.ndarray, np.ndarray]
    cohort: int
    rounds: int
    seed: int
    batch_size: int
    rate: float


def load_workload() -> Workload:
    """Return the workload of the command line: ``run.py SCENARIO.toml FOLDER_OF_FASHION_MNIST``."""
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} SCENARIO.toml FOLDER_OF_FASHION_MNIST")
    scenario, folder = _scenario(Path(sys.argv[1])), Path(sys.argv[2])
    number = scenario["data"]["partition"]["clients"]
    pictures, labels = _read(folder, "train")
    order = np.random.default_rng(scenario["seed"]).permutation(len(labels))
    return Workload(
        scenario["model"]["name"],
        [(pictures[rows], labels[rows]) for rows in np.array_split(order, number)],
        _read(folder, "t10k"),
        round(number * scenario["strategy"]["fraction_train"]),
        scenario["rounds"],
        scenario["seed"],
        scenario["client"]["batch_size"],
        scenario["client"]["optimizer"]["lr"],
    )


def report(**line: Any) -> None:
    """Print a line for the measuring process."""
    print(json.dumps(line), flush=True)


def _scenario(path: Path) -> dict[str, Any]:
    own = tomllib.loads(path.read_text())
    base = own.pop("extends", None)
    return _merged(_scenario(path.parent / base), own) if base else own


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if nested else value
    return merged


def _read(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    pictures = _content(folder, stem, "images").reshape(-1, 28, 28)
    labels = _content(folder, stem, "labels")
    return pictures.astype(np.float32) / 255, labels.astype(np.int64)


def _content(folder: Path, stem: str, what: str) -> np.ndarray:
    file = folder / f"{stem}-{what}-idx{3 if what == 'images' else 1}-ubyte"
    if file.exists():
        content = file.read_bytes()
    else:
        content = gzip.decompress(file.with_name(f"{file.name}.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=HEADER[what])
