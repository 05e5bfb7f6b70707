"""A site's data that another class loads as a whole, such as a data set in code or of the hub."""

from __future__ import annotations

import numpy as np
import torch

from fedlab import registry
from fedlab.data.dataset import Encoding, Examples, Scaling, Task
from fedlab.data.loaded import load_checked
from fedlab.data.sites.rows import Difference, Differs, SiteRows, numbered


def read_any(data: object, task: Task, seed: int) -> SiteRows:
    """Return the rows of a data set of any class, if their task is the federation's.

    Its test part is the site's own.

    Args:
        data: The site's keys of ``[data]``.
        task: What the federation learns.
        seed: The scenario's.

    Raises:
        Differs: If it is another.
        FedlabError: If the data cannot be loaded.
    """
    name = data.name  # type: ignore[attr-defined]
    found = registry.datasets.get(name)
    dataset = load_checked(name, lambda: found(data).load(seed))
    own = dataset.task
    _check(own, task)
    rows = [Examples(part.inputs_at(slice(None)), part.targets) for part in _parts(dataset)]
    inputs = torch.cat([part.inputs for part in rows])
    targets = torch.cat([part.targets for part in rows])
    encoding = own.encoding or Encoding()
    if encoding.features is not None:
        inputs = _raw(inputs, encoding.features)
    if encoding.targets is not None:
        targets = _raw(targets, encoding.targets)
    if task.kind == "classification":
        labels = own.labels or tuple(str(number) for number in range(own.classes))
        held = np.unique(targets.numpy())
        renumbered = torch.full((len(labels),), -1, dtype=torch.int64)
        renumbered[held] = numbered([labels[number] for number in held], task.labels)
        targets = renumbered[targets]
    return SiteRows(Examples(inputs, targets), len(dataset.test), dataset.notes)


def _parts(dataset: object) -> list[Examples]:
    return [dataset.train, dataset.test]  # type: ignore[attr-defined]


def _check(own: Task, task: Task) -> None:
    """Check that a data set's task is the federation's, but for its classes.

    Raises:
        Differs: If not.
    """
    differences = [
        Difference(
            f"its {word} is {getattr(own, name)}, and the federation's is {getattr(task, name)}",
            f"its {word} is not the federation's {getattr(task, name)}",
        )
        for name, word in (
            ("kind", "task"),
            ("modality", "kind of inputs"),
            ("input_shape", "inputs' shape"),
        )
        if getattr(own, name) != getattr(task, name)
    ]
    mine, theirs = own.encoding or Encoding(), task.encoding or Encoding()
    if (mine.tokens, mine.tokenizer) != (theirs.tokens, theirs.tokenizer):
        differences.append(Difference.of("its texts are cut into tokens in another way"))
    if mine.table is not None or theirs.table is not None:
        differences.append(Difference.of("its data set is none of rows with columns by name"))
    if differences:
        raise Differs(differences)


def _raw(values: torch.Tensor, scaling: Scaling) -> torch.Tensor:
    offset, scale = (torch.tensor(p, dtype=torch.float64) for p in (scaling.offset, scaling.scale))
    return values.double() * scale + offset
