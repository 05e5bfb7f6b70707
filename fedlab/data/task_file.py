"""The task as a file of the run folder: whoever uses a trained model needs no training data."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError

_ADAPTER = TypeAdapter(Task)


def dumps(task: Task) -> str:
    """Return the task as JSON."""
    return _ADAPTER.dump_json(task, indent=1).decode() + "\n"


def read(path: Path) -> Task:
    """Return the task that a file holds.

    Raises:
        FedlabError: If the file cannot be read or holds no task.
    """
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        # An objection of the task's own begins with the key.
        reason = first.get("ctx", {}).get("error", first["msg"])
        raise FedlabError(
            f"{path} does not describe a task: {f'{key}: ' if key else ''}{reason}"
        ) from error
