"""A comparison as a file: a plot, a table or all figures, by the file's suffix."""

from __future__ import annotations

import json
from pathlib import Path

from fedlab.errors import FedlabError
from fedlab.files import write_whole
from fedlab.results.comparison import Comparison
from fedlab.results.drawing.bands import draw_bands
from fedlab.results.drawing.style import FORMATS, save_figure
from fedlab.results.settings_comparison import SettingsComparison

TABLES = ("md", "tex", "csv", "json")


def check_output(path: Path, key: str = "--output") -> None:
    """Check that a comparison can be written to a file of this name.

    Raises:
        FedlabError: If its suffix is neither a plot's nor a table's.
    """
    if path.suffix[1:].lower() not in (*FORMATS, *TABLES):
        has = f"ends in '{path.suffix}'" if path.suffix else "has no suffix"
        known = ", ".join(f".{form}" for form in (*FORMATS, *TABLES))
        raise FedlabError(f"{key}: the name {path} {has}; it may be {known}")


def write_comparison(
    path: Path, comparison: Comparison, settings: SettingsComparison | None
) -> str:
    """Write a comparison; return "Plot" or "Table".

    Args:
        path: The file.
        comparison: The runs.
        settings: The same over seeds, where that is what is compared.

    Raises:
        FedlabError: If it cannot be written.
    """
    form = path.suffix[1:].lower()
    if form in FORMATS:
        drawn = draw_bands(settings.groups, settings.metric) if settings else comparison.draw()
        save_figure(drawn, path)
        return "Plot"
    write_whole(path, _text(form, comparison, settings).encode())
    return "Table"


def _text(form: str, comparison: Comparison, settings: SettingsComparison | None) -> str:
    if form == "json":
        content = settings or SettingsComparison.of(comparison)
        return json.dumps(content.as_json(), indent=1, ensure_ascii=False) + "\n"
    table = settings.table() if settings else comparison.table()
    if form == "csv":
        return table.csv()
    further = settings.differences() if settings else comparison.fairness_table()
    tables = [table, *([further] if further is not None and further.rows else [])]
    return "\n".join(t.markdown() if form == "md" else t.latex() for t in tables)
