"""Pictures: classes, sites, sizes, formats, and what is wrong with some of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_128_digest

from fedlab.data.decoding import in_parallel
from fedlab.data.formats.picture import FORMATS, decoded, picture_suffixes
from fedlab.data.inspection import Contents, Finding
from fedlab.data.names import shown
from fedlab.data.picture_layout import PictureLayout, layout_of
from fedlab.data.picture_tables import recognised
from fedlab.errors import FedlabError
from fedlab.registry import inspectors

_KEY = "data.path"
_WHAT = "pictures"
_ORIENTATION = 0x0112
DECODED = 2000
"""Pictures whose pixels are decoded, at even distances; of all others the header is read."""
SMALL = 64
"""The largest side that pictures are learned from scratch at."""
RATE = 0.003
"""Of the small CNN: at the recipes' usual rate it is not done learning in as many rounds."""
_NAMED = 3
_NO_FOLDERS = "no class folders"


class _Picture(NamedTuple):
    """What a file's header says."""

    size: tuple[int, int]
    mode: str
    format: str
    is_turned: bool


@inspectors.register("pictures")
class Pictures:
    """Pictures: a folder for each class, for each site, or for all, or a table that lists them."""

    def claim(self, contents: Contents) -> float:
        """Return the share of the files that are pictures, or 0.95 for a table that lists some."""
        if contents.is_file and recognised(contents.path):
            return 0.95
        return contents.share(picture_suffixes())

    def inspect(self, contents: Contents) -> Finding:
        """Return what is there.

        Raises:
            FedlabError: If there are no pictures, or the folders are ambiguous.
        """
        path, laid, outer = layout_of(contents.path)
        files = [file for file, *_ in laid.rows]
        read = list(in_parallel(lambda n: _header(files[n]), len(files), "Looking at pictures"))
        broken = {n: "its header cannot be read" for n, one in enumerate(read) if one is None}
        broken |= _undecodable([n for n in range(len(files)) if n not in broken], files)
        good = [one for one in read if one is not None]
        if not good:
            raise FedlabError(f"{shown(path)}: none of its {len(files)} files is a picture")
        classes = Counter(label for _, label, _, _ in laid.rows if label)
        sites = Counter(site for _, _, site, _ in laid.rows if site)
        sides = np.sort([one.size for one in good], axis=0)
        facts, details = _facts(laid, good, sides, len(broken))
        notes = [
            *outer,
            *laid.notes,
            *_broken_note(broken, files),
            *_duplicates(laid.rows),
        ]
        return Finding(
            "pictures",
            path,
            len(files),
            laid.layout,
            dict(sorted(classes.items())),
            dict(sorted(sites.items())),
            facts,
            tuple(notes),
            details,
            _scenario(path, laid, good, int(np.median(sides)), bool(broken)),
        )


def _header(file: Path) -> _Picture | None:
    """Return what a file's header says, or None where it is no picture."""
    from PIL import Image

    try:
        with Image.open(file, formats=FORMATS) as opened:
            try:
                turned = opened.getexif().get(_ORIENTATION, 1) in range(2, 9)
            except Exception:  # Damaged metadata do not count.
                turned = False
            return _Picture(opened.size, opened.mode, opened.format or "", turned)
    except Exception:  # A damaged file makes Pillow raise anything.
        return None


def _undecodable(numbers: Sequence[int], files: Sequence[Path]) -> dict[int, str]:
    """Return why pictures cannot be decoded, of 2,000 at even distances."""
    chosen = numbers[:: max(1, -(-len(numbers) // DECODED))]

    def fault(place: int) -> str:
        try:
            decoded(files[chosen[place]], files[chosen[place]], (3, 8, 8))
        except FedlabError as error:
            return str(error)
        return ""

    told = in_parallel(fault, len(chosen), "Decoding some pictures")
    return {number: reason for number, reason in zip(chosen, told, strict=True) if reason}


def _facts(
    laid: PictureLayout, read: Sequence[_Picture], sides: np.ndarray[Any, Any], broken: int
) -> tuple[tuple[tuple[str, str], ...], dict[str, Any]]:
    """Return what is to be shown, and the same for ``--json``."""
    (least_w, least_h), (most_w, most_h) = sides[0], sides[-1]
    middle_w, middle_h = np.median(sides, axis=0)
    formats, modes = _counted(read, lambda p: p.format), _counted(read, lambda p: p.mode)
    turned = sum(one.is_turned for one in read)
    held_out = sum(is_test for *_, is_test in laid.rows)
    size = f"{least_w}×{least_h} to {most_w}×{most_h}, {middle_w:.0f}×{middle_h:.0f} in the middle"
    facts = [
        ("size in pixels", f"{least_w}×{least_h}" if (sides[0] == sides[-1]).all() else size),
        ("formats", _written(formats)),
        ("modes", _written(modes)),
    ]
    facts += [("turned by EXIF data", f"{turned:,}")] if turned else []
    facts += [("held out in a part", f"{held_out:,}")] if held_out else []
    some = f", where pixels of {DECODED:,} were decoded" if len(laid.rows) > DECODED else ""
    facts.append(("unreadable", f"{broken:,}{some}"))
    details = {
        "width": {"min": int(least_w), "median": float(middle_w), "max": int(most_w)},
        "height": {"min": int(least_h), "median": float(middle_h), "max": int(most_h)},
        "formats": formats,
        "modes": modes,
        "turned": turned,
        "held_out": held_out,
        "unreadable": broken,
    }
    return tuple(facts), details


def _counted(read: Iterable[_Picture], of: Callable[[_Picture], str]) -> dict[str, int]:
    return dict(Counter(of(one) for one in read).most_common())


def _written(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} × {count:,}" for name, count in counts.items())


def _broken_note(broken: dict[int, str], files: Sequence[Path]) -> list[str]:
    if not broken:
        return []
    named = "; ".join(
        reason if shown(files[n]) in reason else f"{shown(files[n])}: {reason}"
        for n, reason in sorted(broken.items())[:_NAMED]
    )
    more = "; ..." if len(broken) > _NAMED else ""
    return [f"{len(broken)} of {len(files)} files cannot be read: {named}{more}"]


def _duplicates(rows: Sequence[tuple[Path, str, str, bool]]) -> list[str]:
    """Return notes on files of the same content: several classes, parts or sites hold them."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for number, (file, *_) in enumerate(rows):
        by_size[file.stat().st_size].append(number)
    same: dict[bytes, list[int]] = defaultdict(list)
    for numbers in by_size.values():
        if len(numbers) > 1:
            for number in numbers:
                same[xxh3_128_digest(_content(rows[number][0]))].append(number)
    groups = [numbers for numbers in same.values() if len(numbers) > 1]
    if not groups:
        return []
    extra = sum(len(numbers) - 1 for numbers in groups)
    many = "files repeat" if extra > 1 else "file repeats"
    told = [f"{extra} {many} the content of others: {_pair(rows, groups[0])}"]
    for place, what in ((1, "classes"), (2, "sites"), (3, "training and held-out part")):
        mixed = [g for g in groups if len({rows[n][place] for n in g}) > 1]
        if mixed:
            told.append(f"{len(mixed)} such in several {what}: {_pair(rows, mixed[0])}")
    return ["; ".join(told)]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # Counted as unreadable; no other is like it.
        return str(file).encode("utf-8", "surrogateescape")


def _pair(rows: Sequence[tuple[Path, str, str, bool]], group: Sequence[int]) -> str:
    first = rows[group[0]]
    other = next(
        (rows[n] for n in group[1:] if rows[n][1:] != first[1:]),
        rows[group[1]],
    )
    return f"{shown(first[0])} and {shown(other[0])}"


def _scenario(
    path: Path, laid: PictureLayout, read: Sequence[_Picture], side: int, is_damaged: bool
) -> dict[str, Any]:
    """Return tables that learn from these pictures from scratch, as a start."""
    is_grey = all(one.mode in ("1", "L", "LA", "I;16", "I;16B", "I") for one in read)
    data: dict[str, Any] = {"name": "imagefolder", "path": str(path.absolute()), **laid.keys}
    data["image_size"] = min(max(8, side), SMALL)
    data |= {"channels": 1} if is_grey else {}
    data |= {"on_error": "skip"} if is_damaged else {}
    if "task" in laid.keys:
        data["image_size"] = min(data["image_size"], 32)
        return {"data": data, "model": {"name": "autoencoder", "hidden": [256], "code": 32}}
    return {"data": data, "model": {"name": "cnn"}, "client": {"optimizer": {"lr": RATE}}}
