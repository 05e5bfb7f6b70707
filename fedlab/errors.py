"""The errors that a user can mend, and how to name the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FedlabError(Exception):
    """Something the user can mend: one sentence that says what is wrong, where, what is right.

    The command line prints it without a traceback and exits with code 2; so does a notebook.
    """

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class FedlabErrors(FedlabError):
    """Several things the user can mend, such as every mistake of a scenario: a sentence each."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(one_line(sentence) for sentence in sentences)
        super().__init__(self.sentences)

    def __str__(self) -> str:
        return "\n".join(self.sentences)


class AssetMissing(FedlabError):
    """A data set or a set of weights is not on this machine; the message says what to type."""


def one_line(text: str, limit: int | None = None) -> str:
    """Return a text that others wrote as one line, without control characters.

    Args:
        text: The text: a reason, a name, a title.
        limit: The most characters to return; a longer text ends in an ellipsis.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if limit is None or len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


class EngineFault(FedlabError):
    """What runs clients has failed as a whole; the rounds that are done are saved."""


class Interrupted(KeyboardInterrupt):
    """The user ends the run at once; where code of clients raises KeyboardInterrupt, it does not.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


LONGEST_REASON = 300


def described(error: BaseException) -> str:
    """Return an error in one line of bounded length: its own sentence, or its type and text."""
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be shown"
    if not isinstance(error, FedlabError):
        text = f"{type(error).__name__}: {text}" if text.strip() else type(error).__name__
    return one_line(text, LONGEST_REASON)


OUT_OF_MEMORY = frozenset({"MemoryError", "OutOfMemoryError", "ObjectStoreFullError"})
"""Names of exceptions, Python's, torch's and Ray's, that say that memory has run out."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory has run out; on a CPU torch says so with a plain RuntimeError."""
    if any(kind.__name__ in OUT_OF_MEMORY for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


LONGEST_SHOWN = 60
"""Letters of a user's word or value in a message."""


def shortened(text: str) -> str:
    """Return text that fits into a message: of a long one the beginning, line breaks escaped."""
    cut = text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in cut)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known word nearest to ``word``, or an empty string."""
    if len(word) > LONGEST_SHOWN:
        return ""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def unknown(kind: str, word: str, known: Iterable[str], limit: int = 12) -> str:
    """Return the sentence for a word that is not among ``known``, with the nearest or all."""
    names = sorted(known)
    hint = nearest(word, names)
    if not hint:
        shown = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
        hint = f" Known: {shown}."
    return f"unknown {kind} '{shortened(word)}'.{hint}"
