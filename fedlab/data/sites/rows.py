"""What a site holds, read and held against what the federation asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fedlab.data.dataset import Examples
from fedlab.data.folders import OwnFolder
from fedlab.data.names import class_name, listed
from fedlab.data.parts import find_parts
from fedlab.errors import FedlabErrors


@dataclass(frozen=True)
class Difference:
    """How a site's data differ from what the federation asks for.

    Attributes:
        whole: A clause for the site's own people; it may say what stands in the data.
        told: What the server is told of it: only words that it has itself.
    """

    whole: str
    told: str

    @classmethod
    def of(cls, clause: str) -> Difference:
        """Return a difference in words that the server has itself."""
        return cls(clause, clause)


class Differs(FedlabErrors):
    """A site's data are not what the federation asks for.

    Attributes:
        differences: How they differ.
    """

    def __init__(self, differences: Iterable[Difference]) -> None:
        self.differences = tuple(differences)
        super().__init__(difference.whole for difference in self.differences)


@dataclass(frozen=True)
class SiteRows:
    """A site's examples, not yet scaled.

    Attributes:
        examples: All rows, with classes (N,) or numbers (N, outputs) as they are.
        held_out: How many of them, the last ones, the site has set apart for testing itself.
        notes: What the site's own people should know of how they were read.
    """

    examples: Examples
    held_out: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)


def numbered(labels: Sequence[str], classes: Sequence[str]) -> torch.Tensor:
    """Return the number of each label among the federation's classes, (N,) int64.

    Raises:
        Differs: If one is not among them.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    found = [class_name(label) for label in labels]
    strange = sorted({*found} - {*classes})
    if strange:
        of = "class" if len(strange) == 1 else "classes"
        are = "is" if len(strange) == 1 else "are"
        raise Differs(
            [
                Difference(
                    f"{of} {listed(strange)} {are} not among the federation's {listed(classes)}",
                    f"it holds a class that is not among the federation's {listed(classes)}",
                )
            ]
        )
    return torch.tensor([numbers[name] for name in found], dtype=torch.int64)


def labelled_files(own: OwnFolder, what: str) -> tuple[list[Path], list[str], int, tuple[str, ...]]:
    """Return the files of a folder with a subfolder for each class, in parts or not.

    Args:
        own: The folder.
        what: What the files are, in the plural.

    Returns:
        The files, the class of each, how many of them, the last ones, are of a part that is held
        out, and notes.

    Raises:
        Differs: If there are none.
    """
    parts = find_parts(own)
    files, labels = own.labelled(parts.train).flat()
    tested, of_tested = ([], []) if parts.test is None else own.labelled(parts.test).flat()
    if not files:
        told = f"it holds no {what} in folders that are named after classes"
        raise Differs([Difference(f"{own.key}: {own.root}: {told}", told)])
    notes = (*parts.notes, *own.notes(tuple(dict.fromkeys(labels))))
    return [*files, *tested], [*labels, *of_tested], len(tested), notes
