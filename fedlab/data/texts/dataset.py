"""From texts and targets to a data set: test part, tokens, and notes on what was understood."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fedlab.data.clients_by import groups_of
from fedlab.data.dataset import Dataset, Examples, IntArray, Task, without_effect
from fedlab.data.holdout import hold_out, hold_out_by_group
from fedlab.data.texts.rows import TextRows
from fedlab.data.texts.settings import TextSettings, TokenSettings
from fedlab.data.texts.targets import Targets, scaled, targets_of
from fedlab.data.tokenisers import (
    Lengths,
    Tokeniser,
    has_own_vocabulary,
    lengths_for,
    tokeniser_for,
    unit_of,
)
from fedlab.errors import FedlabError

Parts = tuple[IntArray, IntArray]


def text_dataset(rows: TextRows, settings: TextSettings, where: str, seed: int) -> Dataset:
    """Return the data set of some texts.

    Args:
        rows: The texts.
        settings: The keys of ``[data]``.
        where: How messages call the data.
        seed: Decides what is held out for the test set.

    Raises:
        FedlabError: If there is nothing to learn, or nothing can be held out.
    """
    targets = targets_of(rows, settings.targets, where)
    parts, notes = _parts(rows, targets, settings, where, seed)
    return encoded(rows, targets, parts, settings, (*rows.notes, *targets.notes, *notes))


def encoded(
    rows: TextRows,
    targets: Targets,
    parts: Parts,
    settings: TokenSettings,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Return texts as tokens with their targets.

    Args:
        rows: The texts.
        targets: What is to be learned of them.
        parts: The rows of the training part and of the test part.
        settings: How texts become tokens.
        notes: What the user should know.
    """
    learned = [rows.texts[row] for row in parts[0]]
    tokeniser = tokeniser_for(settings.tokens, learned, settings.vocabulary, settings.min_count)
    lengths = lengths_for(tokeniser, learned, settings.length)
    groups, names = groups_of(rows.clients) if rows.clients is not None else (None, ())
    encoding = replace(tokeniser.encoding, by_line=rows.by_line)
    values = [targets.values[part] for part in parts]
    if not targets.classes:
        name = rows.columns[1] if rows.columns else "score"
        values, scaling = scaled(targets.values, parts, name)
        encoding = replace(encoding, targets=scaling)
    task = Task(
        "classification" if targets.classes else "regression",
        "text",
        (lengths.chosen,),
        len(targets.classes) or 1,
        targets.classes or (rows.columns[1] if rows.columns else "score",),
        vocabulary=tokeniser.size,
        input_padding=tokeniser.padding,
        encoding=encoding,
    )
    examples = [
        Examples(
            tokeniser.encode([rows.texts[row] for row in part], lengths.chosen),
            wanted,
            None if groups is None else groups[part],
            names,
        )
        for part, wanted in zip(parts, values, strict=True)
    ]
    notes = (*notes, *_token_notes(tokeniser, lengths, settings))
    return Dataset(task, *examples, notes=notes)


def _token_notes(
    tokeniser: Tokeniser, lengths: Lengths, settings: TokenSettings
) -> tuple[str, ...]:
    """Return keys without effect, and how many texts are cut where the scenario left that open."""
    notes: tuple[str, ...] = ()
    if has_own_vocabulary(settings.tokens):
        reason = f"the tokens of '{settings.tokens}' are numbered already"
        notes = without_effect(settings, ("vocabulary", "min_count"), reason)
    if settings.length is not None:
        return notes
    cut = f"{100 * lengths.cut:.3g} % of the texts are cut" if lengths.cut else "no text is cut"
    return (
        *notes,
        f"data.length: training texts have {lengths.least} to {lengths.most} {unit_of(tokeniser)} "
        f"(median {lengths.median}); {lengths.chosen} are read, {cut}. The vocabulary has "
        f"{tokeniser.size}",
    )


def _parts(
    rows: TextRows, targets: Targets, settings: TextSettings, where: str, seed: int
) -> tuple[Parts, tuple[str, ...]]:
    """Return the rows of the training and of the test part, and notes."""
    parts = drawn_parts(rows, targets, settings.test_fraction, where, seed)
    notes: tuple[str, ...] = ()
    if rows.held_out and any(rows.held_out) and not _draws(rows):
        reason = "the data have a part of their own that is held out"
        if not rows.is_table:
            reason = "the folder has a part of its own that is held out"
        notes = without_effect(settings, ["test_fraction"], reason)
    if not rows.is_table:
        keys = ("text_column", "label_column", "missing", "encoding", "separator")
        reason = "only a CSV file has columns, not a folder"
        notes += without_effect(settings, keys, reason)
    return parts, notes


def drawn_parts(rows: TextRows, targets: Targets, fraction: float, where: str, seed: int) -> Parts:
    """Return the rows of the training and of the test part, each ascending.

    Args:
        rows: The examples; what is held out already is the test part, but that of clients with
            nothing held out a fraction is drawn.
        targets: Their targets, of which both parts hold equal shares.
        fraction: What is drawn.
        where: How messages call the data.
        seed: Decides which rows are drawn.

    Raises:
        FedlabError: If nothing is left to learn from, or a class is tested and not learned.
    """
    held_out = np.array(rows.held_out)
    groups = None if rows.clients is None else groups_of(rows.clients)[0]
    free = np.flatnonzero(~held_out)
    if groups is not None and held_out.any():
        # Of a client that has set something apart itself, nothing more is.
        free = free[~np.isin(groups[free], np.unique(groups[held_out]))]
    elif held_out.any():
        free = free[:0]
    chosen: IntArray = np.empty(0, np.int64)
    if len(free):
        chosen = free[_drawn(free, targets, fraction, groups, seed)]
    test = np.union1d(np.flatnonzero(held_out), chosen)
    train = np.setdiff1d(np.arange(len(rows)), test)
    _check(train, test, targets, where)
    return train, test


def _draws(rows: TextRows) -> bool:
    """Return whether there are clients that have held out nothing."""
    if rows.clients is None:
        return False
    own = {name for name, flag in zip(rows.clients, rows.held_out, strict=True) if flag}
    return bool(set(rows.clients) - own)


def _drawn(
    free: IntArray, targets: Targets, fraction: float, groups: IntArray | None, seed: int
) -> IntArray:
    """Return which of the free rows are tested on."""
    strata = targets.strata()[free]
    if groups is not None:
        return hold_out_by_group(groups[free], fraction, seed, strata)[1]
    return hold_out(len(free), fraction, seed, strata, targets.classes)[1]


def _check(train: IntArray, test: IntArray, targets: Targets, where: str) -> None:
    if not len(train):
        raise FedlabError(f"{where}: all texts are held out, and nothing is left to learn from")
    if not targets.classes:
        return
    values = targets.values.numpy()
    unlearned = sorted(set(values[test]) - set(values[train]))
    if unlearned:
        name = targets.classes[int(unlearned[0])]
        raise FedlabError(
            f"{where}: the class '{name}' is tested and there is no text of it to learn from"
        )
