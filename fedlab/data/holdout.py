"""A test set where a data set comes without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlab import seeding
from fedlab.data.dataset import IntArray
from fedlab.errors import FedlabError


def hold_out(
    count: int,
    fraction: float,
    seed: int,
    classes: IntArray | None = None,
    names: Sequence[str] = (),
) -> tuple[IntArray, IntArray]:
    """Return the row numbers of the training and test parts, each ascending.

    Args:
        count: Number of examples.
        fraction: Part of them that is tested on.
        seed: Decides which.
        classes: (count,) classes whose shares both parts keep (stratified), if given.
        names: Names of the classes, for messages.

    Raises:
        FedlabError: If the examples are too few for that.
    """
    from sklearn.model_selection import train_test_split

    try:
        train, test = train_test_split(
            np.arange(count),
            test_size=fraction,
            stratify=classes,
            random_state=seeding.derive(seed, "test set") % 2**32,
        )
    except ValueError as error:
        raise FedlabError(
            f"data.test_fraction: {fraction:g} of {count} examples cannot be held out for the test "
            f"set with examples of every class in both parts{_rarest(classes, names)}"
        ) from error
    return np.sort(train), np.sort(test)


def hold_out_by_group(
    groups: IntArray, fraction: float, seed: int, classes: IntArray | None = None
) -> tuple[IntArray, IntArray]:
    """Return the row numbers of the training and test parts, each with its share of every group.

    Of a group of n rows, ``fraction`` · n are tested on, rounded, and at least one where it has
    two; its classes keep their shares (largest remainders, Hamilton's method). A class of which a
    group has a single row keeps it for training where another class can give one, and of a class
    that is in no other group one row is learned from at least.

    Args:
        groups: (count,) the group of each row.
        fraction: Part of them that is tested on.
        seed: Decides which.
        classes: (count,) classes whose shares both parts keep (stratified), if given.

    Raises:
        FedlabError: If no group has two rows.
    """
    chosen: list[IntArray] = []
    every = np.zeros(len(groups), np.int64) if classes is None else classes
    known, totals = np.unique(every, return_counts=True)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        own = every[rows]
        wanted = min(len(rows) - 1, max(1, round(fraction * len(rows))))
        draw = seeding.numpy_generator(seed, "test set", int(group))
        order = draw.permutation(len(rows))
        kinds, counts = np.unique(own, return_counts=True)
        shares = _largest_remainders(counts, wanted, totals[np.searchsorted(known, kinds)])
        for kind, share in zip(kinds, shares, strict=True):
            chosen.append(rows[order[own[order] == kind][:share]])
    test = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)
    test = without_last_of_class(test, every)
    if not len(test):
        raise FedlabError(
            "data.test_fraction: no client has two examples, of which one could be held out for "
            "the test set"
        )
    return np.setdiff1d(np.arange(len(groups)), test), test


def without_last_of_class(test: IntArray, classes: IntArray) -> IntArray:
    """Return a test part without one row of each class of which nothing else is left to learn.

    Args:
        test: Row numbers, ascending.
        classes: (count,) the class of every row.
    """
    kinds, firsts, tested = np.unique(classes[test], return_index=True, return_counts=True)
    known, totals = np.unique(classes, return_counts=True)
    return np.delete(test, firsts[tested == totals[np.searchsorted(known, kinds)]])


def _largest_remainders(counts: IntArray, wanted: int, totals: IntArray) -> IntArray:
    """Return how many of each class are taken, in proportion to ``counts``.

    Args:
        counts: (classes,) rows of the group.
        wanted: Rows that are taken in all, unless they were all there are of a class.
        totals: (classes,) rows of all groups.
    """
    exact = counts * wanted / counts.sum()
    shares: IntArray = np.floor(exact).astype(np.int64)
    # Classes of one row come last, then those with small remainders, then the small ones.
    order = np.lexsort((-counts, shares - exact, counts == 1, totals == 1))
    shares[order[: wanted - shares.sum()]] += 1
    return np.minimum(shares, totals - 1)


def _rarest(classes: IntArray | None, names: Sequence[str]) -> str:
    """Return which class has a single example, if one has."""
    if classes is None or not names:
        return ""
    alone = [name for name, n in zip(names, np.bincount(classes), strict=True) if n == 1]
    return f"; the class '{alone[0]}' has one example" if alone else ""
