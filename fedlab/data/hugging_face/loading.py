"""Loading a data set of Hugging Face: a folder, a file, or one of the hub. ``datasets`` is imported
here, when the first one is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fedlab.assets import cache_folder, hugging_face
from fedlab.data.formats.delimited import read_delimited
from fedlab.data.formats.json_lines import SUFFIXES as JSON_SUFFIXES
from fedlab.data.formats.json_lines import read_json_lines
from fedlab.data.names import listed, shown
from fedlab.data.parts import role_of
from fedlab.errors import AssetMissing, FedlabError, one_line, unknown

_KEY = "data.path"
_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
"""The builders of single files, by suffix."""


class Splits(NamedTuple):
    """The splits that are used, by name: to learn from, and perhaps to test on.

    Attributes:
        train: The name of the split to learn from, and the split.
        test: The same of the one to test on, or None.
        notes: What the user should know of that choice.
    """

    train: tuple[str, Any]
    test: tuple[str, Any] | None
    notes: tuple[str, ...]


def load_splits(
    path: str, config: str | None, train: str | None = None, test: str | None = None
) -> Splits:
    """Return the split to learn from, and the one to test on if there is one.

    Args:
        path: A folder, a file, or the name of a data set on the hub.
        config: The configuration, of a data set that has several.
        train: The split to learn from, if it is not the usual one.
        test: The split to test on, likewise.

    Raises:
        AssetMissing: If it is neither on this machine nor to be fetched.
        FedlabError: If it cannot be read, or has no such split.
    """
    with _quiet():
        found = _load(path, config)
    if not isinstance(found, dict):
        found = {"train": found}
    for key, wanted in (("train_split", train), ("test_split", test)):
        if wanted is not None and wanted not in found:
            raise FedlabError(f"data.{key}: {shown(path)} has an {unknown('split', wanted, found)}")
    by_role: dict[str, str] = {}
    for name in found:
        by_role.setdefault(role_of(name) or name, name)
    learned = train or by_role.get("train") or (next(iter(found)) if len(found) == 1 else None)
    if learned is None:
        raise FedlabError(
            f"data.train_split: {shown(path)} has the splits {listed(found)}; say which to learn "
            "from"
        )
    tested = test or by_role.get("test") or by_role.get("val")
    tested = None if tested == learned and test is None else tested
    for name in (learned, tested):
        if name is not None and not len(found[name]):
            raise FedlabError(f"{_KEY}: the split '{name}' of {shown(path)} is empty")
    unused = [name for name in found if name not in (learned, tested)]
    notes: tuple[str, ...] = ()
    if unused:
        notes = (f"{_KEY}: the splits {listed(unused)} are not used",)
    if tested is not None and test is None and role_of(tested) == "val":
        notes += (f"{_KEY}: '{tested}' is the split that the model is tested on",)
    test_part = None if tested is None else (tested, found[tested])
    return Splits((learned, found[learned]), test_part, notes)


def _load(path: str, config: str | None) -> Any:
    import datasets

    cache = str(cache_folder() / "huggingface")
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            if (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
                return datasets.load_from_disk(str(place))
            return datasets.load_dataset(str(place), config, cache_dir=cache)
        if place.is_file():
            return _file(place, cache)
    except FedlabError:
        raise
    except Exception as error:  # its builders raise errors of every kind
        _explain(place)
        reason = error.__cause__ or error
        said = one_line(str(reason), 200)
        if isinstance(reason, IndexError):
            said = "a split has no rows"
        raise FedlabError(
            f"{_KEY}: {shown(place)} cannot be read as a data set of Hugging Face ({said})"
        ) from error
    if path.startswith((".", "/", "~")):
        raise FedlabError(f"{_KEY}: there is no file or folder {shown(place)}")
    return _from_hub(path, config, cache)


def _file(place: Path, cache: str) -> Any:
    import datasets

    builder = _FORMATS.get(place.suffix.lower())
    if builder is None:
        raise FedlabError(
            f"{_KEY}: {shown(place)} is none of {', '.join(_FORMATS)}; a folder is read as well"
        )
    keys: dict[str, Any] = {"sep": "\t"} if place.suffix.lower() == ".tsv" else {}
    return datasets.load_dataset(builder, data_files=str(place), cache_dir=cache, **keys)


def _explain(place: Path) -> None:
    """Read a file that ``datasets`` refused as fedlab reads it, which names what is wrong.

    Raises:
        FedlabError: If that is found: the line, and what would be right.
    """
    suffix = place.suffix.lower()
    if not place.is_file() or suffix not in (".csv", ".tsv", *JSON_SUFFIXES):
        return
    try:
        if suffix in JSON_SUFFIXES:
            read_json_lines(place)
        else:
            read_delimited(place, "utf-8", "\t" if suffix == ".tsv" else ",")
    except FedlabError as error:
        said = str(error).partition(", or let data.encoding")[0]
        raise FedlabError(f"{_KEY}: {said}") from error


def _from_hub(name: str, config: str | None, cache: str) -> Any:
    import datasets

    try:
        hugging_face.check_hub()
    except AssetMissing as error:
        known = _cached(name, config, cache)
        if known is not None:
            return known
        raise AssetMissing(
            f"{_KEY}: the data set '{name}' is not on this machine and cannot be fetched from the "
            f"hub ({error}); a folder that save_to_disk wrote, or one of Parquet, CSV, JSON or "
            "pictures, needs no hub"
        ) from error
    try:
        return datasets.load_dataset(name, config, cache_dir=cache)
    except Exception as error:
        raise FedlabError(
            f"{_KEY}: the data set '{name}' cannot be loaded from the hub "
            f"({one_line(str(error), 200)})"
        ) from error


def _cached(name: str, config: str | None, cache: str) -> Any | None:
    """Return a data set of the hub that was fetched before, or None."""
    import datasets

    offline = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        return datasets.load_dataset(name, config, cache_dir=cache)
    except Exception:  # it is not there, in whatever words
        return None
    finally:
        datasets.config.HF_HUB_OFFLINE = offline


@contextmanager
def _quiet() -> Iterator[None]:
    """Let ``datasets`` draw no bars and log nothing in the block."""
    import datasets

    were_on = datasets.is_progress_bar_enabled()
    loudness = datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    # What its log says of a file that cannot be read, the error says, too.
    datasets.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(loudness)
        if were_on:
            datasets.enable_progress_bars()
