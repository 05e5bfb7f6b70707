"""The folder of what a method has made of a run: all that using and reporting the model needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlab import files
from fedlab.data import task_file
from fedlab.models.network import usable_state
from fedlab.run.folder import RunFolder, weights_digest
from fedlab.scenario.metadata import model_metadata
from fedlab.scenario.parts import network_of
from fedlab.scenario.phases import phase_at, phases_of
from fedlab.wire.archive import write_arrays

if TYPE_CHECKING:
    from fedlab.run.unlearning.method import Past, Unlearned, UnlearningMethod

_DESCRIBING = (files.TASK, files.DATA, files.PARTITION, files.ATTACK)


def write_model_folder(
    past: Past, path: Path, name: str, method: UnlearningMethod, found: Unlearned
) -> None:
    """Write a folder like a run's: its description, a line a round, the model, a summary.

    Args:
        past: The run.
        path: The new folder.
        name: The method's.
        method: The method.
        found: What it has made.
    """
    folder = RunFolder.create_at(path, past.scenario)
    for described in _DESCRIBING:
        if (past.folder.path / described).is_file():
            shutil.copy2(past.folder.path / described, path / described)
    about = {
        "of": str(past.folder.path.absolute()),
        "clients": sorted(past.gone),
        "method": name,
        "settings": method.settings.model_dump(mode="json"),
    }
    folder.write_json(files.UNLEARNED, about)
    clients = ", ".join(map(str, sorted(past.gone)))
    folder.note(
        [f"made of the run {past.folder.path.name} without client {clients} by '{name}': not a run"]
    )
    folder.write_lines(files.METRICS, found.lines)
    _write_weights(past, folder, found)
    folder.write_json(files.SUMMARY, _summary(found))


def _write_weights(past: Past, folder: RunFolder, found: Unlearned) -> None:
    """Write the whole model, and what a user needs to know of it."""
    task = task_file.read(past.folder.path / files.TASK)
    phases = phases_of(past.scenario)
    network = network_of(phases[phase_at(phases, past.rounds)], task)
    state = usable_state(network, found.weights)
    about = model_metadata(past.scenario, task, network)
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    folder.replace(files.MODEL, lambda path: write_arrays(path, arrays, about))


def _summary(found: Unlearned) -> dict[str, Any]:
    """Return the method's rounds in a few numbers."""
    tested = [line for line in found.lines if "test" in line]
    return {
        "status": "finished",
        "rounds": found.lines[-1]["round"] if found.lines else 0,
        **({"test": tested[-1]["test"]} if tested else {}),
        "seconds": found.cost.seconds,
        "bytes": found.cost.bytes,
        "weights_sha256": weights_digest(found.weights.numpy()),
    }
