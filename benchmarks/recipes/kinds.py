"""Built-in scenarios on real data of every kind: together, each alone, and pooled."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from fedlab.metrics.names import headline
from fedlab.results.reading import RunRecord

KINDS: dict[str, str] = {
    "quickstart": "pictures (digits, EfficientNet-Lite0)",
    "pretrained-cnn": "pictures (clothes, EfficientNet-Lite0)",
    "pretrained-cnn-head-only": "pictures (clothes, its head alone)",
    "pretrained-cnn-norm-head": "pictures (clothes, its norms and head)",
    "pretrained-vit": "pictures (clothes, DINOv2)",
    "tumours": "a table (CSV, four hospitals)",
    "fed-heart-disease": "a table (four real hospitals)",
    "text-fasttext": "text (Shakespeare's speeches, fastText)",
    "text-transformer-head": "text (the same, MiniLM of Hugging Face)",
    "spoken-digits": "speech (each speaker a client)",
    "model-gru": "series (wrist sensor, each wearer a client)",
}
HEAD = """## Data of every kind

Built-in scenarios on real data with nothing changed but the seed, as `fedlab run NAME` gives them.
*Together* is the model that the federation ends with, *alone* the mean of the models that clients
train by themselves, *pooled* the last model of all data in one place, each on the server's test
set, in the measure that is named; the median of the seeds and, in brackets, the least and the most.
"""
Row = dict[str, Any]


def outcome(scenario: str, seed: int, options: Sequence[str] = ()) -> Row:
    """Return what a built-in scenario comes to with a seed, and further options of the command.

    Raises:
        RuntimeError: If the command fails; its last words.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fedlab", "run", scenario, "--set", f"seed={seed}"]
        command += [*options, "--set", "evaluation.baselines=['centralised', 'local']"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        (run,) = (Path(folder) / "runs").iterdir()
        return row_of(RunRecord.load(run))


def row_of(record: RunRecord) -> Row:
    """Return the figures of a finished run that has its baselines."""
    # What the run ends with: not its last round where the best one is restored.
    found = json.loads((record.path / "summary.json").read_text())["test"]
    metric = headline(found)
    assert metric is not None
    name = metric.name
    pooled = [row.test[name] for row in record.baselines if row.baseline == "centralised"]
    alone = [row.test[name] for row in record.baselines if row.baseline == "local"]
    return {
        "metric": name,
        "together": round(found[name], 4),
        "alone": round(mean(alone), 4),
        "pooled": round(pooled[-1], 4),
    }


def table(rows: Mapping[str, Row]) -> Iterator[str]:
    """Yield the lines of the section, of rows by ``scenario/seed``."""
    by_scenario: dict[str, list[Row]] = {}
    for key, row in rows.items():
        by_scenario.setdefault(key.partition("/")[0], []).append(row)
    yield HEAD
    yield "| data | scenario | measure | seeds | together | alone | pooled |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for scenario, what in KINDS.items():
        found = by_scenario.get(scenario, [])
        if found:
            cells = (_cell([row[key] for row in found]) for key in ("together", "alone", "pooled"))
            measure = found[0]["metric"]
            yield f"| {what} | `{scenario}` | {measure} | {len(found)} | {' | '.join(cells)} |"


def _cell(values: Sequence[float]) -> str:
    """Return the middle value, with the least and the most."""
    spread = f" ({min(values):.3f}, {max(values):.3f})" if len(values) > 1 else ""
    return f"{median(values):.3f}{spread}"
