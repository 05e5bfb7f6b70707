"""A run as TensorBoard event files."""

from __future__ import annotations

from pathlib import Path

from fedlab.errors import FedlabError
from fedlab.files import TENSORBOARD, replacing
from fedlab.results.reading import RunRecord
from fedlab.results.scalars import scalars_by_run


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
            for name, scalars in scalars_by_run(record).items():
                with SummaryWriter(draft / name) as writer:
                    for tag, value, step in scalars:
                        writer.add_scalar(tag, value, step)
    except OSError as error:
        raise FedlabError(f"event files cannot be written to {run_folder}: {error}") from error
    return final
