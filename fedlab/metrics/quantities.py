"""Bytes, seconds and counts as a person reads them."""

from __future__ import annotations

NBSP = "\u00a0"  # between a number and its unit, so that no line breaks there


def bytes_text(count: float) -> str:
    """Return a number of bytes with a decimal unit (1 MB = 10⁶ bytes)."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            scaled = count / size
            return f"{scaled:.3g}{NBSP}{unit}" if scaled < 1000 else f"{scaled:,.0f}{NBSP}{unit}"
    return f"{count:.0f}{NBSP}B"


def seconds_text(seconds: float) -> str:
    """Return a duration in the units that suit its size."""
    if seconds < 0.001:
        return f"{'< 1' if seconds else '0'}{NBSP}ms"
    if seconds < 0.1:
        return f"{1000 * seconds:.3g}{NBSP}ms"
    if seconds < 100:
        return f"{seconds:.3g}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes}{NBSP}min {rest}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60}{NBSP}min"


def count_text(count: int) -> str:
    """Return a count, in millions (M) from a million on."""
    return f"{count / 1e6:.3g}{NBSP}M" if count >= 1_000_000 else f"{count:,}"


def rounds_text(rounds: list[int]) -> str:
    """Return "round 3" or "rounds 0–10"."""
    if not rounds:
        return "no rounds"
    first, last = min(rounds), max(rounds)
    return f"round{NBSP}{first}" if first == last else f"rounds{NBSP}{first}–{last}"
