"""Examples that are elsewhere: their number and shape are known, and nothing that they hold."""

from __future__ import annotations

import torch

from fedlab.data.dataset import Examples, IntArray, Task

_STORED = {"image": torch.uint8, "text": torch.int64}


class AbsentExamples(Examples):
    """Examples of which shape and number are known; what is looked at is zeros.

    So whatever is checked of a network's inputs before the first round is checked as ever. Nothing
    is trained or measured on them: what would be is refused before.

    Args:
        task: What is learned of them.
        count: How many there are.
    """

    def __init__(self, task: Task, count: int) -> None:
        self.__dict__.update(task=task, count=count, groups=None, group_names=())

    def __len__(self) -> int:
        return int(self.__dict__["count"])

    def _zeros(self, count: int) -> torch.Tensor:
        task: Task = self.__dict__["task"]
        kind = _STORED.get(task.modality, torch.float32)
        return torch.zeros(1, *task.input_shape, dtype=kind).expand(count, *task.input_shape)

    @property
    def inputs(self) -> torch.Tensor:
        """Return zeros, which take the memory of one example."""
        return self._zeros(len(self))

    @property
    def targets(self) -> torch.Tensor:
        """Return zeros."""
        task: Task = self.__dict__["task"]
        if task.kind == "regression":
            return torch.zeros(len(self), task.outputs)
        return torch.zeros(len(self), dtype=torch.int64)

    def inputs_at(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return zeros for these rows."""
        count = len(range(*rows.indices(len(self)))) if isinstance(rows, slice) else len(rows)
        return self._zeros(count).clone()

    def take(self, rows: IntArray | torch.Tensor) -> Examples:
        """Return as many examples that are elsewhere."""
        return AbsentExamples(self.__dict__["task"], len(rows))

    def select(self, rows: IntArray) -> Examples:
        """Return as many examples that are elsewhere."""
        return self.take(rows)

    def without_groups(self) -> Examples:
        """Return the same: nothing says whose these are."""
        return self

    @property
    def shared(self) -> list[torch.Tensor]:
        """Return nothing: none of them is in memory."""
        return []
