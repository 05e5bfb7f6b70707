"""Recordings in folders: classes, clients, lengths, rates, and what is wrong with some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.data.folders import OwnFolder
from fedlab.data.formats.columns import first_columns, read_table
from fedlab.data.formats.sound import SOUND_SUFFIXES, Recording, read_recording
from fedlab.data.formats.table import MISSING
from fedlab.data.inspection import Contents, Finding
from fedlab.data.names import shown
from fedlab.data.parts import find_parts
from fedlab.data.site_folders import FOLDER, look_like_sites
from fedlab.data.sound_files import Columns, Recordings, by_pattern, in_folders, in_table
from fedlab.errors import FedlabError
from fedlab.registry import inspectors

READ = 500
"""Recordings that are read, at even distances; of all others the names are looked at."""
PATTERNS = ("{label}_{client}_{}", "{label}-{client}-{}", "{label}_{}", "{label}-{}")
"""What names may say, where folders say nothing."""
LABEL_COLUMNS = ("label", "class", "word", "command", "digit", "category", "target")
_CLIENTS = frozenset({"speaker", "client", "user", "subject", "person", "speaker_id", "client_id"})
_KEY = "data.path"
_MOST_CLASSES, _NAMED = 100, 3


@inspectors.register("sound")
class Sound:
    """Recordings: a folder for each class, a folder for each client, or names that say it."""

    def claim(self, contents: Contents) -> float:
        """Return the share of the files that are recordings, or 0.9 for a table that lists some."""
        if contents.is_file and contents.path.suffix.lower() == ".csv":
            return 0.9 if _path_column(contents.head()) else 0.0
        return contents.share(SOUND_SUFFIXES)

    def inspect(self, contents: Contents) -> Finding:
        """Return what is there.

        Raises:
            FedlabError: If there are no recordings, or nothing says what they are.
        """
        path = contents.path
        if contents.is_file and path.suffix.lower() == ".csv":
            layout, keys, found = _listed(path, contents.head())
        else:
            path = path.parent if contents.is_file else path
            layout, keys, found = _laid(path)
        rows = [*found.train, *found.test]
        files = [Path(str(row.file)) for row in rows]
        chosen = files[:: max(1, -(-len(files) // READ))]
        read, faults = _read(chosen)
        if not read:
            raise FedlabError(f"{shown(path)}: none of the recordings can be read: {faults[0]}")
        notes = [*found.notes, *found.faults[:_NAMED]]
        if faults:
            notes.append(
                f"{len(faults)} of the {len(chosen)} recordings that were read are damaged: "
                + "; ".join(faults[:_NAMED])
            )
        facts, details = _facts(read, len(found.test))
        return Finding(
            "sound",
            path,
            len(rows),
            layout,
            dict(sorted(Counter(row.label for row in rows).items())),
            dict(sorted(Counter(row.client for row in rows if row.client).items())),
            facts,
            tuple(notes),
            details,
            _scenario(path, keys, bool(faults or found.faults)),
        )


def _path_column(head: bytes) -> str | None:
    """Return the column of a table's first lines that names recordings, or None."""
    for name, fields in first_columns(head).items():
        named = sum(Path(field).suffix.lower() in SOUND_SUFFIXES for field in fields)
        if fields and named > len(fields) / 2:
            return name
    return None


def _listed(path: Path, head: bytes) -> tuple[str, dict[str, Any], Recordings]:
    """Return the same of recordings that a table lists."""
    of_paths = _path_column(head) or "path"
    table = read_table(path, [of_paths], _KEY)
    others = [name for name in table.columns if name != of_paths]
    lower = {name.lower(): name for name in reversed(others)}
    labels = [lower[name] for name in LABEL_COLUMNS if name in lower] or others[:1]
    if not labels:
        raise FedlabError(f"{shown(path)} has no column of classes beside '{of_paths}'")
    by = next((name for name in others if name.lower() in _CLIENTS), None)
    keys = {"path_column": of_paths, "label_column": labels[0]}
    found = in_table(path, Columns(of_paths, labels[0], by, MISSING), _KEY)
    return "a table", keys | ({"clients_by": by} if by else {}), found


def _laid(path: Path) -> tuple[str, dict[str, Any], Recordings]:
    """Return how recordings are laid out, the keys of ``[data]`` that read them, and which."""
    own = OwnFolder(path, SOUND_SUFFIXES, _KEY)
    place = find_parts(own)
    if look_like_sites(OwnFolder(path, SOUND_SUFFIXES, _KEY)):
        return "<client>/<class>", {"clients_by": FOLDER}, in_folders(path, True, _KEY)
    folders = [f for f in own.inside(place.train).folders() if own.inside(f).files()]
    if len(folders) >= 2:
        layout = "<part>/<class>" if place.test else "<class>"
        return layout, {}, in_folders(path, False, _KEY)
    for pattern in PATTERNS:
        found = by_pattern(path, pattern, _KEY)
        classes = {row.label for row in found.train}
        if not found.faults and 2 <= len(classes) <= min(_MOST_CLASSES, len(found.train) // 2):
            note = f"the names look like '{pattern}': change data.pattern if they do not"
            named = found._replace(notes=(*found.notes, note))
            return f"names: {pattern}", {"pattern": pattern}, named
    raise FedlabError(
        f"{shown(path)} holds recordings in no folders of classes, and no names that say it; "
        "data.pattern or a CSV file with the columns path and label does"
    )


def _read(files: Sequence[Path]) -> tuple[list[Recording], list[str]]:
    read, faults = [], []
    for file in files:
        try:
            read.append(read_recording(file))
        except FedlabError as error:
            faults.append(str(error))
    return read, faults


def _facts(
    read: Sequence[Recording], held_out: int
) -> tuple[tuple[tuple[str, str], ...], dict[str, Any]]:
    """Return what is to be shown, and the same for ``--json``."""
    lengths = np.array([len(one.samples) / one.rate for one in read])
    rates = Counter(one.rate for one in read)
    channels = Counter(one.samples.shape[1] for one in read)
    middle = float(np.median(lengths))
    facts = [
        (
            "length in seconds",
            f"{lengths.min():.2f} to {lengths.max():.2f}, {middle:.2f} in the middle",
        ),
        ("samples a second", ", ".join(f"{rate:,} × {n:,}" for rate, n in rates.most_common())),
        ("channels", ", ".join(f"{count} × {n:,}" for count, n in channels.most_common())),
    ]
    facts += [("held out in a part", f"{held_out:,}")] if held_out else []
    details = {
        "seconds": {"min": lengths.min(), "median": middle, "max": lengths.max()},
        "rates": {str(rate): n for rate, n in rates.items()},
        "channels": {str(count): n for count, n in channels.items()},
        "held_out": held_out,
    }
    return tuple(facts), details


def _scenario(path: Path, keys: dict[str, Any], is_damaged: bool) -> dict[str, Any]:
    """Return tables that learn from these recordings, as a start."""
    skip = {"on_error": "skip"} if is_damaged else {}
    if "{client}" in keys.get("pattern", ""):
        keys = keys | {"partition": {"name": "natural"}}
    return {
        "data": {"name": "sound", "path": str(path.absolute()), **keys, **skip},
        "model": {"name": "speech-lstm", "pretrained": "package"},
    }
