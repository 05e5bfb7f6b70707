"""Omniglot: handwritten characters of many alphabets, each drawn once by twenty people."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from fedlab import seeding
from fedlab.data.dataset import Dataset, DataSettings, Examples, IntArray, Task, without_effect
from fedlab.data.names import shown
from fedlab.errors import AssetMissing, FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

DRAWERS = 20
"""Who drew every character once."""
_FILE = re.compile(r"(?:^|/)([^/]+)/(character\d+)/\d+_(\d+)\.png$")
_HOW = (
    "get images_background_small1.zip and images_background_small2.zip, or images_background.zip, "
    "from github.com/brendenlake/omniglot (MIT) and name their folder, or one of them, with "
    "data.path, or put them into omniglot in the folder FEDLAB_DATA"
)


class Drawing(NamedTuple):
    """Which drawing a picture is."""

    alphabet: str
    character: str
    drawer: int


class OmniglotSettings(DataSettings):
    """Keys of Omniglot."""

    name: str = "omniglot"
    path: FilePath | None = Field(
        None,
        description="a folder with Omniglot's zip files or folders of alphabets, or one zip file; "
        "default: omniglot in FEDLAB_DATA",
    )
    image_size: int = Field(28, ge=4, le=105, description="height and width in pixels")
    clients_by: Literal["task", "alphabet", "drawer"] = Field(
        "task",
        description="who is a client: 'task': few characters of one alphabet, told apart under "
        "labels of the client's own; 'alphabet' or 'drawer': who holds which drawings of all "
        "characters",
    )
    ways: int = Field(5, ge=2, le=17, description="characters of a task")
    tasks: int = Field(200, ge=2, le=10_000, description="number of tasks")
    rotations: bool = Field(
        True, description="turn each character of a task by 0, 90, 180 or 270 degrees"
    )
    test_drawers: int = Field(
        4,
        ge=0,
        lt=DRAWERS,
        description="of alphabets and drawers: by how many people the server's test set is drawn, "
        "who are on no client",
    )


@datasets.register("omniglot")
class Omniglot:
    """Handwritten characters of up to fifty alphabets: small tasks, alphabets or drawers.

    Lake, Salakhutdinov and Tenenbaum 2015, "Human-level concept learning through probabilistic
    program induction", Science. A client of tasks holds all twenty drawings of 5 characters, say,
    which it numbers from 0: what it learns is to tell new characters apart from few examples.
    Clients are called after their alphabets ("Greek 3"), so that ``evaluation.unseen_clients =
    ["Greek *"]`` keeps an alphabet for the test. Tasks have no test set on the server.
    """

    Settings = OmniglotSettings

    def __init__(self, settings: OmniglotSettings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, 1, size, size), ink being 255, with classes (N,).

        Raises:
            AssetMissing: If the data set is not on this machine.
            FedlabError: If a file cannot be read, or no alphabet has as many characters as a task.
        """
        settings = self.settings
        found = _read(_place(settings.path), settings.image_size)
        drawings = sorted(found)
        pictures = torch.from_numpy(np.stack([found[one] for one in drawings])).unsqueeze(1)
        if settings.clients_by == "task":
            return self._tasks(drawings, pictures, seed)
        return self._drawings(drawings, pictures)

    def _drawings(self, drawings: list[Drawing], pictures: torch.Tensor) -> Dataset:
        """Return all drawings with their characters as classes, on drawers or alphabets."""
        settings = self.settings
        labels = sorted({f"{one.alphabet}/{one.character}" for one in drawings})
        numbers = {label: number for number, label in enumerate(labels)}
        targets = [numbers[f"{one.alphabet}/{one.character}"] for one in drawings]
        by_drawer = settings.clients_by == "drawer"
        owners = [f"{o.alphabet} {o.drawer:02}" if by_drawer else o.alphabet for o in drawings]
        names = sorted(set(owners))
        groups = np.array([names.index(owner) for owner in owners], dtype=np.int64)
        whole = Examples(pictures, torch.tensor(targets), groups, tuple(names))
        tested = np.array([one.drawer > DRAWERS - settings.test_drawers for one in drawings])
        size = settings.image_size
        task = Task("classification", "image", (1, size, size), len(labels), tuple(labels))
        notes = without_effect(settings, ("ways", "tasks", "rotations"), "clients are no tasks")
        train, test = (whole.take(np.flatnonzero(rows)) for rows in (~tested, tested))
        return Dataset(task, train, test, notes=notes)

    def _tasks(self, drawings: list[Drawing], pictures: torch.Tensor, seed: int) -> Dataset:
        """Return tasks of few characters, each with labels of its own."""
        settings = self.settings
        rows = _rows(drawings)
        alphabets = {name: own for name, own in rows.items() if len(own) >= settings.ways}
        if not alphabets:
            raise FedlabError(
                f"data.ways: no alphabet has {settings.ways} characters; ask for fewer"
            )
        draw = seeding.numpy_generator(seed, "omniglot tasks")
        names = list(alphabets)
        shares = np.array([len(alphabets[name]) for name in names], dtype=np.float64)
        of_task = np.sort(draw.choice(len(names), settings.tasks, p=shares / shares.sum()))
        inputs, targets, groups, called = [], [], [], []
        for number, alphabet in enumerate(of_task.tolist()):
            own = alphabets[names[alphabet]]
            for label, character in enumerate(draw.choice(len(own), settings.ways, replace=False)):
                turns = int(draw.integers(4)) if settings.rotations else 0
                inputs.append(torch.rot90(pictures[own[character]], turns, (2, 3)))
                targets.append(torch.full((len(inputs[-1]),), label))
                groups.append(np.full(len(inputs[-1]), number, dtype=np.int64))
            called.append(f"{names[alphabet]} {number - int((of_task < alphabet).sum())}")
        size = settings.image_size
        task = Task("classification", "image", (1, size, size), settings.ways)
        train = Examples(
            torch.cat(inputs), torch.cat(targets), np.concatenate(groups), tuple(called)
        )
        notes = without_effect(settings, ("test_drawers",), "the server tests no tasks")
        return Dataset(task, train, Examples(pictures[:0], torch.empty(0).long()), notes=notes)


def _rows(drawings: list[Drawing]) -> dict[str, list[IntArray]]:
    """Return by alphabet the rows of each of its characters."""
    found: dict[str, dict[str, list[int]]] = {}
    for row, one in enumerate(drawings):
        found.setdefault(one.alphabet, {}).setdefault(one.character, []).append(row)
    return {
        alphabet: [np.array(rows, dtype=np.int64) for rows in characters.values()]
        for alphabet, characters in found.items()
    }


def _place(path: str | None) -> Path:
    """Return the folder or zip file with the pictures.

    Raises:
        AssetMissing: If there is none; the message says how to get it.
        FedlabError: If the one that was named does not exist.
    """
    if path is not None:
        place = Path(path).expanduser()
        if not place.exists():
            raise FedlabError(f"data.path: there is no {shown(place)}; {_HOW}")
        return place
    folder = os.environ.get("FEDLAB_DATA")
    if folder:
        place = Path(folder, "omniglot").expanduser()
        if place.is_dir():
            return place
    raise AssetMissing(f"data set 'omniglot' is not on this machine; {_HOW}")


def _read(place: Path, size: int) -> dict[Drawing, npt.NDArray[np.uint8]]:
    """Return every picture once, also where several files hold it.

    Raises:
        FedlabError: If there are none, or a file is damaged.
    """
    found: dict[Drawing, npt.NDArray[np.uint8]] = {}
    zips = [place] if place.is_file() else sorted(place.glob("*.zip"))
    for drawing, content in _contents(place, zips):
        if drawing not in found:
            found[drawing] = _picture(content, size, place)
    if not found:
        raise FedlabError(
            f"data.path: {shown(place)} holds no drawings, such as Greek/character01/0394_01.png; "
            f"{_HOW}"
        )
    return found


def _contents(place: Path, zips: list[Path]) -> Iterator[tuple[Drawing, bytes]]:
    for file in zips:
        try:
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if match := _FILE.search(name):
                        yield _drawing(match), archive.read(name)
        except (zipfile.BadZipFile, OSError) as error:
            raise FedlabError(
                f"data.path: {shown(file)} is not a whole zip file: {error}"
            ) from error
    if not zips:
        for path in sorted(place.rglob("*.png")):
            if match := _FILE.search(path.as_posix()):
                yield _drawing(match), path.read_bytes()


def _drawing(match: re.Match[str]) -> Drawing:
    return Drawing(match[1], match[2], int(match[3]))


def _picture(content: bytes, size: int, place: Path) -> npt.NDArray[np.uint8]:
    """Return (size, size) how much ink there is; the files' ink is black."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as opened:
            grey = opened.convert("L").resize((size, size), Image.Resampling.BOX)
    except (UnidentifiedImageError, OSError) as error:
        raise FedlabError(f"data.path: {shown(place)} holds a damaged picture: {error}") from error
    return np.asarray(255 - np.asarray(grey, dtype=np.uint8))
