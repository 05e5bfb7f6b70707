from collections.abc import Callable
from pathlib import Path

import pytest

from fedlab.data.formats.plays import single_speeches
from fedlab.registry import datasets

PLAY = """ACT I

HAMLET.
To be, or not
to be [aside] that.

OPHELIA.
My lord?

HAMLET.
Well.
"""


def test_each_speech_of_a_play_is_a_line_without_stage_directions() -> None:
    assert single_speeches(PLAY) == [
        ("HAMLET", "To be, or not to be  that."),
        ("OPHELIA", "My lord?"),
        ("HAMLET", "Well."),
    ]


def test_speeches_are_told_apart_by_play(asset: Callable[[str], Path]) -> None:
    asset("shakespeare")
    source = datasets.get("speeches")
    data = source(source.Settings(plays=("macbeth", "henry_v"))).load(0)
    assert data.task.labels == ("henry_v", "macbeth")
    assert len(data.train) > 500
    assert data.task.encoding.unit == "words"


def test_an_unknown_play_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'hamlet'"):
        datasets.get("speeches").Settings(plays=("hamlt", "macbeth"))
