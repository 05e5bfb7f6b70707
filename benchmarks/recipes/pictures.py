"""Folders of pictures that recipes are tried on, as a user would have them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from fedlab.data.dataset import Dataset
from fedlab.errors import FedlabError
from fedlab.scenario import loads
from fedlab.scenario.parts import load_dataset

SIDE = 32
FEW = 1000
EVERY = 5


def digits(folder: Path) -> Path:
    """Write scikit-learn's 1,797 digits: ``<class>/<number>.png``, 1,438 and 359 by hold-out."""
    dataset = _built_in("digits")
    for part in (dataset.train, dataset.test):
        _write(folder, part.inputs, part.targets, len(part))
    return folder


def fashion(folder: Path) -> Path:
    """Write 1,000 training and 1,000 test pictures of Fashion-MNIST: ``<part>/<class>/...``."""
    dataset = _built_in("fashion-mnist")
    for name, part in (("train", dataset.train), ("test", dataset.test)):
        _write(folder / name, part.inputs[:FEW], part.targets[:FEW], FEW)
    return folder


def pacs(folder: Path) -> Path:
    """Write a fifth of PACS, 2,000 pictures: ``<domain>/<class>/*.jpg``. Nothing ships these.

    Raises:
        FedlabError: If there is no folder ``pacs`` of the user's.
    """
    place = Path(os.environ.get("FEDLAB_DATA", ".")) / "pacs"
    if not place.is_dir():
        raise FedlabError(f"there is no folder {place}: put PACS there, <domain>/<class>/*.jpg")
    for of_class in sorted(place.glob("*/*/")):
        own = folder / of_class.relative_to(place)
        own.mkdir(parents=True)
        for file in sorted(of_class.iterdir())[::EVERY]:
            shutil.copyfile(file, own / file.name)
    return folder


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "digits": digits,
    "fashion-1000": fashion,
    "pacs-fifth": pacs,
}


def _built_in(name: str) -> Dataset:
    scenario = loads(
        f'rounds = 1\n[data]\nname = "{name}"\npartition = {{ name = "iid", clients = 1 }}\n'
        '[model]\nname = "linear"'
    )
    return load_dataset(scenario)


def _write(folder: Path, pictures: Any, labels: Iterable[Any], part: int) -> None:
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        place = folder / str(int(label))
        place.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(picture[0].numpy()).resize((SIDE, SIDE))
        image.save(place / f"{part}-{number:05d}.png")
