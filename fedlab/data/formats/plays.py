"""Plain-text plays: who says what.

In the texts of Project Gutenberg a speaker's name stands alone on a line after an empty one, as
``HAMLET.``, ``Ham.`` or ``HAMLET``; the speech follows until the next name. Stage directions stand
in brackets, and nothing is spoken before the first act or scene.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"(?P<dotted>[A-Z][A-Za-z' ,&-]{0,38}[A-Za-z])\.|(?P<capitals>[A-Z][A-Z' ,&-]+)")
_HEADING = re.compile(r"(ACT|SCENE|PROLOGUE|EPILOGUE|FINIS|THE END)\b", re.IGNORECASE)
_DIRECTION = re.compile(r"\[[^\]]{0,1000}\]|_[^_\n]*_")


def speeches(text: str) -> dict[str, str]:
    """Return the words of each role of a play, in order, by name in capitals.

    Line breaks are kept, stage directions left out. A text with fewer than two speakers is no
    play: the result is empty.
    """
    spoken: dict[str, list[str]] = {}
    role: str | None = None
    begun, after_gap = False, True
    for line in text.splitlines():
        words = line.strip()
        if _HEADING.match(words):
            begun, role = True, None
        elif begun and after_gap and (name := _speaker(words)):
            role = name
        elif words and role is not None:
            spoken.setdefault(role, []).append(words)
        after_gap = not words
    roles = {name: _DIRECTION.sub("", "\n".join(lines)) for name, lines in spoken.items()}
    roles = {name: words.strip() + "\n" for name, words in roles.items() if words.strip()}
    return roles if len(roles) > 1 else {}


def _speaker(words: str) -> str | None:
    match = _NAME.fullmatch(words)
    return None if match is None else (match["dotted"] or match["capitals"]).upper()


def single_speeches(text: str) -> list[tuple[str, str]]:
    """Return the speeches of a play in order: who speaks, in capitals, and what, in one line."""
    found: list[tuple[str, list[str]]] = []
    begun, after_gap, speaks = False, True, False
    for line in text.splitlines():
        words = line.strip()
        if _HEADING.match(words):
            begun, speaks = True, False
        elif begun and after_gap and (name := _speaker(words)):
            speaks = True
            found.append((name, []))
        elif words and speaks:
            found[-1][1].append(words)
        after_gap = not words
    spoken = ((name, _DIRECTION.sub("", " ".join(lines)).strip()) for name, lines in found)
    return [(name, words) for name, words in spoken if words]
