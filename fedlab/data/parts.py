"""Which subfolders are parts of a data set, for training and for testing, rather than classes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from fedlab.data.folders import Labelled, OwnFolder
from fedlab.data.names import listed, shown
from fedlab.errors import FedlabError, nearest

ROLES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "heldout"), "test"),
    **dict.fromkeys(("eval", "evaluation"), "val"),
}
"""What a folder is by its name in lower case, without what ``_BESIDE_ROLE`` names."""
_BETWEEN = re.compile(r"[-_ .]+")
_BESIDE_ROLE = re.compile(r"(?<=[a-z])(sets?|data|split|images?|pictures?|examples)$")
"""What people write beside it: ``Training Set``, ``test_images``, ``val-data``."""


def role_of(name: str) -> str | None:
    """Return which part a folder of this name is: "train", "val", "test", or None.

    Example:
        >>> role_of("Training Set"), role_of("TEST_images"), role_of("control")
        ('train', 'test', None)
    """
    plain = _BESIDE_ROLE.sub("", _BETWEEN.sub("", name.strip().lower()))
    return ROLES.get(plain)


class Parts(NamedTuple):
    """Where the classes' folders are.

    Attributes:
        train: The folder of the training part.
        test: The folder of the part that is held out; None where the user held out none.
        notes: What the user should know of that choice.
    """

    train: Path
    test: Path | None
    notes: tuple[str, ...] = ()


def find_parts(own: OwnFolder) -> Parts:
    """Return the parts of a folder of a user's own, by their names in any case.

    Where only one folder is named like a part ("test" beside "control"), it is a class.

    Raises:
        FedlabError: If that is ambiguous; the sentence says which names make it so.
    """
    named: dict[str, list[Path]] = {}
    others = []
    for folder in own.folders():
        role = role_of(folder.name)
        if role is None:
            others.append(folder)
        else:
            named.setdefault(role, []).append(folder)
    like_parts = [folder for folders in named.values() for folder in folders]
    if len(like_parts) < 2:
        _check_is_class(own, like_parts, others)
        return Parts(own.root, None)
    classes = [folder for folder in others if own.inside(folder).files()]
    if "train" not in named or len(like_parts) > len(named) or classes:
        raise _ambiguous(own, like_parts, classes)
    for folder in others:
        own.leave_out_all(folder)
    return _chosen(own, {role: folders[0] for role, folders in named.items()})


class Files(NamedTuple):
    """The files of each part, with their classes.

    Attributes:
        classes: The names of the classes, sorted.
        train: The files of the training part, and the class of each.
        test: Those of the part that is held out; None where the user held out none.
    """

    classes: tuple[str, ...]
    train: tuple[list[Path], list[str]]
    test: tuple[list[Path], list[str]] | None


def read_parts(own: OwnFolder, parts: Parts, what: str) -> Files:
    """Return the files of all parts.

    Args:
        own: The user's folder.
        parts: Where its classes are.
        what: What its files are, in the plural, for messages.

    Raises:
        FedlabError: If there are fewer than two classes, a class has no files to learn from, or one
            that is tested has no folder to learn from.
    """
    train = own.labelled(parts.train)
    _check_classes(own, parts.train, train, what)
    if parts.test is None:
        return Files(train.classes, train.flat(), None)
    test = own.labelled(parts.test)
    for name in test.classes:
        if name not in train.classes:
            raise FedlabError(
                f"{own.key}: {shown(parts.test / name)} is a class without {what} in "
                f"{shown(parts.train)}.{nearest(name, train.classes)}"
            )
    if not any(test.files):
        raise nothing_in(own, parts.test, what)
    return Files(train.classes, train.flat(), test.flat())


def _check_classes(own: OwnFolder, place: Path, found: Labelled, what: str) -> None:
    """Refuse fewer than two classes, and one without files."""
    if len(found.classes) < 2:
        count = f"one folder of {what}" if any(found.files) else f"no {what} in folders"
        aside = f" ({own.left_out})" if own.left_out else ""
        raise FedlabError(
            f"{own.key}: {shown(place)} holds {count}, and needs at least two folders, one for "
            f"each class{aside}"
        )
    for name, files in zip(found.classes, found.files, strict=True):
        if not files:
            raise nothing_in(own, place / name, what)


def nothing_in(own: OwnFolder, place: Path, what: str) -> FedlabError:
    """Return the error for a folder without files, with what was left out of it.

    Args:
        own: The user's folder, and the record of what was left out.
        place: The folder in it.
        what: What its files should be, in the plural.
    """
    aside = f" ({own.left_out})" if own.left_out else ""
    return FedlabError(f"{own.key}: {shown(place)} holds no {what}{aside}")


def _chosen(own: OwnFolder, parts: dict[str, Path]) -> Parts:
    validation, test = parts.get("val"), parts.get("test")
    if test is None:
        assert validation is not None
        name = shown(validation.name)
        note = f"{own.key}: '{name}' is the part that is held out: the model is tested on it"
        return Parts(parts["train"], validation, (note,))
    if validation is None:
        return Parts(parts["train"], test)
    note = (
        f"{own.key}: '{shown(validation.name)}' is not used: the model is tested on "
        f"'{shown(test.name)}', and clients hold out validation examples of their own "
        "(data.validation)"
    )
    return Parts(parts["train"], test, (note,))


def _check_is_class(own: OwnFolder, like_parts: list[Path], others: list[Path]) -> None:
    """Refuse one folder that is named like a part, and holds folders as a part does."""
    for folder in like_parts:
        inside = [sub.name for sub in own.inside(folder).folders() if own.inside(sub).files()]
        if len(inside) < 2:
            continue
        alone = "alone" if not others else f"beside {listed(shown(f.name) for f in others)}"
        raise FedlabError(
            f"{own.key}: {shown(own.root)} holds '{shown(folder.name)}' {alone}, which looks like "
            f"a part of a data set, with the folders {listed(map(shown, inside))}; name that "
            "folder itself, and a test set is held out, or name its counterpart train or test"
        )


def _ambiguous(own: OwnFolder, like_parts: list[Path], classes: list[Path]) -> FedlabError:
    parts = listed(shown(folder.name) for folder in like_parts)
    beside = listed(shown(folder.name) for folder in classes)
    return FedlabError(
        f"{own.key}: {shown(own.root)} holds {parts}, which look like parts of a data set, not "
        f"classes{f', beside {beside}' if beside else ''}; a data set in parts has one folder "
        "'train' and one 'test' or 'val' and no other folders of examples: rename or move the rest"
    )
