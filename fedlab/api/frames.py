"""The lines of a run folder as pandas DataFrames.

pandas is imported where a table is asked for: it takes half a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlab import files
from fedlab.results.parsing import Anything, read_lines
from fedlab.results.rows import FailureRow

if TYPE_CHECKING:
    import pandas as pd

_WITHOUT = "everything else of the run can be read"
_CLIENT_COLUMNS = ["round", "client", "phase", "examples"]


def metrics(run: Path) -> pd.DataFrame:
    """Return ``metrics.jsonl``, indexed by round: nested keys are joined by dots."""
    import pandas as pd

    # A run that was killed and resumed may have written a round twice.
    by_round = {line["round"]: flat(line) for line in _lines(run / files.METRICS)}
    rows = [by_round[number] for number in sorted(by_round)]
    frame = pd.DataFrame(rows, columns=None if rows else ["round"])
    return frame.set_index("round")


def clients(run: Path) -> pd.DataFrame:
    """Return ``clients.jsonl``, a row a line."""
    import pandas as pd

    rows = list(_lines(run / files.CLIENTS))
    return pd.DataFrame(rows, columns=None if rows else _CLIENT_COLUMNS)


def failures(run: Path) -> pd.DataFrame:
    """Return ``failures.jsonl``, a row a line."""
    import pandas as pd

    rows = [row.model_dump() for row in read_lines(run / files.FAILURES, FailureRow, _WITHOUT)]
    return pd.DataFrame(rows, columns=list(FailureRow.model_fields))


def baselines(run: Path) -> pd.DataFrame:
    """Return ``baselines.jsonl``, a row a line: nested keys are joined by dots."""
    import pandas as pd

    rows = [flat(line) for line in _lines(run / files.BASELINES)]
    return pd.DataFrame(rows, columns=None if rows else ["baseline"])


def flat(line: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested dictionary as one level, its keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in line.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in read_lines(path, Anything, _WITHOUT):
        yield dict(line.root)
