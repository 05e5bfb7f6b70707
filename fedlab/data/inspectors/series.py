"""Series in ``.ts`` files of the UCR/UEA archive's format: classes, channels, lengths, gaps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.data.formats.ts import LabelledSeries, read_ts
from fedlab.data.inspection import Contents, Finding
from fedlab.data.names import shown
from fedlab.data.parts import role_of
from fedlab.errors import FedlabError
from fedlab.registry import inspectors

_TWO = (
    "a training and a test file are needed, one with TRAIN and one with TEST at the end of its name"
)

HIDDEN = 200
DENSE_RATE, RECURRENT_RATE = 0.003, 0.005
"""Of small networks for few series, which learn too slowly at the recipes' usual rate."""


@inspectors.register("series")
class Series:
    """Series with classes in .ts files, a training and a test file."""

    def claim(self, contents: Contents) -> float:
        """Return the share of the files that are .ts files; videos have that suffix, too."""
        first = contents.head(next((f for f in contents.files if _is_ts(f)), None))
        return contents.share({".ts"}) if b"@" in first else 0.0

    def inspect(self, contents: Contents) -> Finding:
        """Return what is there.

        Raises:
            FedlabError: If there is no .ts file, or one breaks the format.
        """
        files = [file for file in contents.files if _is_ts(file)]
        if not files:
            raise FedlabError(f"{shown(contents.path)} holds no .ts file")
        read = {file: read_ts(file) for file in files}
        series = [one for part in read.values() for one in part.series]
        lengths = sorted(len(one) for one in series)
        missing = sum(int(np.isnan(one).sum()) for one in series)
        channels = sorted({part.channels for part in read.values()})
        spread = f"{lengths[0]} to {lengths[-1]}, {int(np.median(lengths))} in the middle"
        facts = (
            ("files", ", ".join(f"{shown(f.name)} {len(r.series):,}" for f, r in read.items())),
            ("channels", ", ".join(map(str, channels))),
            ("steps", str(lengths[0]) if lengths[0] == lengths[-1] else spread),
            ("missing values", f"{missing:,}"),
        )
        pair = _pair(read)
        is_aligned = channels == [1] and lengths[0] == lengths[-1]
        return Finding(
            "series",
            contents.path,
            len(series),
            "a series a line",
            dict(sorted(Counter(label for r in read.values() for label in r.labels).items())),
            facts=facts,
            notes=() if pair else (_TWO,),
            details={"channels": channels, "lengths": lengths[:: len(lengths) - 1 or 1]},
            scenario=_scenario(*pair, is_aligned) if pair else {},
            why_no_scenario="" if pair else _TWO,
        )


def _is_ts(file: Path) -> bool:
    return file.suffix.lower() == ".ts"


def _pair(read: dict[Path, LabelledSeries]) -> tuple[Path, Path] | None:
    """Return the training file and the test file, if there is one of each."""
    roles = {file: role_of(file.stem.replace("-", "_").rpartition("_")[2]) for file in read}
    train, test = ([f for f, role in roles.items() if role == part] for part in ("train", "test"))
    return (train[0], test[0]) if len(train) == len(test) == 1 else None


def _scenario(train: Path, test: Path, is_aligned: bool) -> dict[str, Any]:
    """Return tables that learn from these series, as a start.

    Args:
        train, test: The files.
        is_aligned: Whether the series have one channel and one length. Such sets hold few series,
            cut out alike, and a network that reads all steps at once learns them as well as a
            recurrent one does, or better, in a tenth of the time.
    """
    files = {"train": str(train.absolute()), "test": str(test.absolute())}
    dense = {"name": "mlp", "hidden": [HIDDEN]}
    rate = DENSE_RATE if is_aligned else RECURRENT_RATE
    return {
        "data": {"name": "ts-files", **files},
        "model": dense if is_aligned else {"name": "gru"},
        "client": {"optimizer": {"lr": rate}},
    }
