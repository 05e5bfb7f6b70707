"""A run as TensorBoard event files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fedlab.errors import FedlabError
from fedlab.files import TENSORBOARD, replacing
from fedlab.results.reading import RunRecord
from fedlab.results.rows import RoundRow

Scalar = tuple[str, float, int]


def write_tensorboard(run_folder: Path) -> Path:
    """Write ``tensorboard/`` in a run folder, replacing an older one; return its path.

    The federated run and each baseline are separate TensorBoard runs, so that one chart per tag
    shows them together.

    Raises:
        FedlabError: If TensorBoard is not installed, this is not a run folder, or it cannot be
            written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise FedlabError(
            "event files need TensorBoard: pip install 'fedlab-sim[tensorboard]'"
        ) from error
    record = RunRecord.load(run_folder)
    final = run_folder / TENSORBOARD
    try:
        with replacing(final) as draft:
            for name, scalars in _runs(record).items():
                with SummaryWriter(draft / name) as writer:
                    for tag, value, step in scalars:
                        writer.add_scalar(tag, value, step)
    except OSError as error:
        raise FedlabError(f"event files cannot be written to {run_folder}: {error}") from error
    return final


def _runs(record: RunRecord) -> dict[str, list[Scalar]]:
    """Return the scalars (tag, value, round) of the federated run and of each baseline."""
    runs = {"federated": [scalar for row in record.rounds for scalar in _scalars(row)]}
    for line in record.baselines:
        if line.round is not None:
            scalars = [(f"test/{name}", value, line.round) for name, value in line.test.items()]
            runs.setdefault(line.baseline, []).extend(scalars)
    return runs


def _scalars(row: RoundRow) -> Iterator[Scalar]:
    for name, value in row.test.items():
        yield f"test/{name}", value, row.round
    for phase, spreads in (("train", row.train), ("clients", row.clients)):
        for name, spread in spreads.items():
            for part, value in spread.model_dump().items():
                yield f"{phase}/{name}/{part}", value, row.round
    for name, seconds in row.seconds.items():
        yield f"seconds/{name}", seconds, row.round
    if row.cohort:
        names = ["replies", "failures", "bytes_down", "bytes_up"]
        for name in [*names, "bytes_saved"] if row.bytes_saved else names:
            yield f"round/{name}", getattr(row, name), row.round
