"""What a task has that a recorded one had not is told by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedlab.data import task_file
from fedlab.data.dataset import Encoding, Scaling, Task
from fedlab.data.task_changes import differences

PICTURES = Task("classification", "image", (3, 8, 8), 2, ("bright", "dim"))
SCALING = Scaling(("load", "heat"), (0.0, 1.0), (2.0, 3.0))
TABLE = Task("regression", "tabular", (2,), 1, encoding=Encoding(features=SCALING))
TEXT = Task(
    "classification", "text", (9,), 2, ("a", "b"), vocabulary=3, encoding=Encoding(("x", "y", "z"))
)


def labelled(*labels: str) -> Task:
    return replace(PICTURES, labels=labels, outputs=len(labels))


def scaled(**changes: tuple[float, ...] | tuple[str, ...]) -> Task:
    return replace(TABLE, encoding=Encoding(features=replace(SCALING, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [PICTURES, TABLE, TEXT])
def test_a_task_that_was_written_and_read_is_the_same(tmp_path: Path, task: Task) -> None:
    (tmp_path / "task.json").write_text(task_file.dumps(task))
    assert differences(task_file.read(tmp_path / "task.json"), task) == []


@pytest.mark.parametrize(
    ("recorded", "found", "told"),
    [
        (
            PICTURES,
            labelled("dim", "overexposed"),
            "class 'overexposed' is new and 'bright' is gone",
        ),
        (PICTURES, labelled("another", "bright", "dim"), "class 'another' is new"),
        (labelled(*"abcdef"), labelled("a", "b"), "classes 'c', 'd', 'e' and 1 more are gone"),
        (
            PICTURES,
            labelled("dim", "bright"),
            "classes come in another order: number 0 is 'dim' and was 'bright'",
        ),
        (PICTURES, replace(PICTURES, input_shape=(1, 8, 9)), "input_shape is 1×8×9 and was 3×8×8"),
        (PICTURES, replace(PICTURES, padding=0), "padding is 0 and was -100"),
        (
            replace(PICTURES, labels=()),
            replace(PICTURES, labels=(), outputs=3),
            "outputs is 3 and was 2",
        ),
        (TABLE, scaled(columns=("load", "wind")), "column 'wind' is new and 'heat' is gone"),
        (TABLE, scaled(scale=(2.0, 3.1)), "column 'heat' is scaled by other numbers"),
        (TABLE, replace(TABLE, encoding=None), "inputs are raw, not encoded"),
        (
            TEXT,
            replace(TEXT, encoding=Encoding(("x", "z", "q", "y")), vocabulary=4),
            "token 'q' is new",
        ),
    ],
)
def test_a_difference_is_told(recorded: Task, found: Task, told: str) -> None:
    assert differences(recorded, found) == [told]


def test_statistics_of_another_machine_are_the_same() -> None:
    assert differences(TABLE, scaled(scale=(2.0, 3.0 + 1e-12))) == []
