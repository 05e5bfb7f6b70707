"""What a data source returns is checked: every mistake of a user's own class is one sentence."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Dataset, Examples, Task
from fedlab.data.loaded import checked, load_checked
from fedlab.errors import FedlabError

TABLE = Task("classification", "tabular", (4,), 3, labels=("a", "b", "c"))
X, Y = torch.randn(9, 4), torch.arange(9) % 3
GROUPS = np.arange(9) % 2


def dataset(inputs: Any = X, targets: Any = Y, task: Any = TABLE, **keys: Any) -> Dataset:
    train = Examples(inputs, targets, keys.get("groups"), keys.get("group_names", ()))
    return Dataset(task, keys.get("train", train), keys.get("test", Examples(X[:0], Y[:0])))


def other(kind: str, modality: Any, shape: tuple[int, ...], outputs: int, **keys: Any) -> Task:
    return Task(kind, modality, shape, outputs, **keys)


PICTURES = other("classification", "image", (1, 4, 4), 3)
TEXT = other("classification", "text", (5,), 3, vocabulary=7)
NUMBERS = other("regression", "tabular", (4,), 1)
GREY = torch.zeros(9, 1, 4, 4, dtype=torch.uint8)
TOKENS = torch.ones(9, 5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (None, "its load returns nothing; let it return Dataset(task, train, test)"),
        ((TABLE, X, Y), "its load returns a tuple; let it return Dataset(task, train, test)"),
        (dataset(task="classification"), "task is a str, not a Task"),
        (dataset(task=replace(TABLE, modality="table")), "task.modality: 'table' is none of 'im"),
        (dataset(task=replace(TABLE, input_shape=4)), "task.input_shape is 4; it is the shape of"),
        (dataset(task=replace(TABLE, outputs=3.0)), "task.outputs is 3.0; it is the number of cl"),
        (dataset(train=(X, Y)), "train is a tuple, not Examples(inputs, targets)"),
        (dataset(test=None), "test is None, not Examples(inputs, targets); without a test set it "),
        (dataset(X.numpy()), "train.inputs is a NumPy array, not a tensor; torch.from_numpy(inp"),
        (dataset(targets=Y.numpy()), "train.targets is a NumPy array, not a tensor; torch.from_n"),
        (dataset(targets=None), "train.targets is a NoneType, not a tensor of one row an example"),
        (dataset(targets=[0, 1]), "train.targets is a list, not a tensor of one row an example"),
        (dataset(torch.tensor(1.0)), "train.inputs is a single number, not a tensor of one row"),
        (dataset(X.double()), "train.inputs is float64; of modality 'tabular' it is float32: inp"),
        (dataset(X.half()), "train.inputs is float16; of modality 'tabular' it is float32"),
        (dataset(X[:8]), "train.inputs has 8 rows, and targets has 9; each example has one of bot"),
        (dataset(X[:, :3]), "train.inputs holds examples of shape (3,), and task.input_shape is "),
        (dataset(X.where(X[4, 1] != X, torch.nan)), "train.inputs has NaN or infinity in row 4; "),
        (dataset(X[:0], Y[:0]), "train has no example"),
        (dataset(targets=Y.float()), "train.targets is float32; of 'classification' it holds num"),
        (dataset(targets=Y.int()), "train.targets is int32; of 'classification' it holds numbers"),
        (dataset(targets=Y[:, None]), "train.targets has shape (9, 1); of 'classification' it is "),
        (dataset(targets=Y - 1), "train.targets has class -1; they count from 0 to 2, as task.out"),
        (dataset(targets=Y + 1), "train.targets has class 3; they count from 0 to 2, as task.outp"),
        (dataset(test=Examples(X, Y + 5)), "test.targets has class 5; they count from 0 to 2"),
        (dataset(task=replace(TABLE, labels=("a", "b"))), "task.labels has 2 names, and there are"),
        (dataset(task=replace(TABLE, labels=("a", "b", "a"))), "task.labels has 'a' twice; a clas"),
        (dataset(groups=GROUPS[:5]), "train.groups has shape (5,), and there are 9 examples"),
        (dataset(groups=list(GROUPS)), "train.groups is no NumPy array of whole numbers; groups_"),
        (dataset(groups=np.array(["n"] * 9)), "train.groups is no NumPy array of whole numbers"),
        (
            dataset(groups=GROUPS, group_names=("north",)),
            "train.groups has numbers from 0 to 1, and group_names has 1 names",
        ),
        (
            dataset(groups=GROUPS, group_names=("north", "north")),
            "train.group_names has 'north' twice; a group is one client",
        ),
        (dataset(GREY.float(), task=PICTURES), "train.inputs is float32; of modality 'image' it "),
        (
            dataset(GREY[:, 0], task=PICTURES),
            "train.inputs holds examples of shape (4, 4), and task.input_shape is (1, 4, 4)",
        ),
        (dataset(TOKENS.float(), task=TEXT), "train.inputs is float32; of modality 'text' it is "),
        (dataset(TOKENS * 7, task=TEXT), "train.inputs has token 7; they count from 0 to 6, as ta"),
        (dataset(targets=Y, task=NUMBERS), "train.targets is int64; of 'regression' it is float32"),
        (
            dataset(targets=Y.float(), task=NUMBERS),
            "train.targets has shape (9,); of 'regression' it is (rows, 1), as task.outputs says",
        ),
        (
            dataset(targets=torch.full((9, 1), torch.inf), task=NUMBERS),
            "train.targets has NaN or infinity; leave out examples without a target",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_class(found: Any, sentence: str) -> None:
    with pytest.raises(FedlabError) as caught:
        checked("my_data:Mine", found)
    assert str(caught.value).startswith(f"data.name: 'my_data:Mine': {sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "found",
    [
        dataset(),
        dataset(groups=GROUPS, group_names=("north", "south")),
        dataset(GREY, task=PICTURES),
        dataset(TOKENS.to(torch.uint8), task=TEXT),
        dataset(targets=torch.randn(9, 1), task=NUMBERS),
        dataset(task=replace(TABLE, labels=())),
        dataset(targets=Y % 2, task=replace(TABLE, outputs=1, labels=("no", "yes"))),
    ],
)
def test_what_is_right_stays_as_it_is(found: Dataset) -> None:
    assert checked("my_data:Mine", found).train.inputs is found.train.inputs


def test_tensors_that_are_not_contiguous_are_made_so() -> None:
    turned = torch.randn(4, 9).T
    assert not turned.is_contiguous()
    found = checked("my_data:Mine", dataset(turned))
    assert found.train.inputs.is_contiguous()
    assert torch.equal(found.train.inputs, turned)


def test_whatever_load_raises_is_a_sentence_with_the_line() -> None:
    def load() -> Dataset:
        return {}["missing"]  # type: ignore[no-any-return]

    with pytest.raises(FedlabError) as caught:
        load_checked("my_data:Mine", load)
    assert str(caught.value).startswith(
        f"data.name: 'my_data:Mine': its load raised KeyError: 'missing' ({__file__}, line "
    )


def test_a_load_that_ends_the_program_is_a_sentence_too() -> None:
    with pytest.raises(FedlabError, match="its load raised SystemExit"):
        load_checked("my_data:Mine", lambda: sys.exit(3))


def test_what_a_source_of_fedlab_raises_is_left_to_whoever_mends_it() -> None:
    with pytest.raises(ZeroDivisionError):
        load_checked("iris", lambda: 1 / 0)
