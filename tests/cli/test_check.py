"""``fedlab check`` looks at the data as a run does; with ``--quick`` it looks at keys alone."""

from pathlib import Path

import numpy as np
import pytest
import tomli_w
from PIL import Image

from tests.shared import raw_with


@pytest.fixture
def own(desk: Path) -> Path:
    """Return a scenario on twelve pictures of two sites."""
    draw = np.random.default_rng(0)
    for number in range(12):
        path = desk / "own" / f"site {number % 2}" / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    data = {"name": "imagefolder", "path": "own", "clients_by": "folder", "image_size": 8}
    (desk / "own.toml").write_text(tomli_w.dumps(raw_with({"data": {**data, "partition": None}})))
    return desk


def test_whole_data_are_valid(own, typed):
    outcome = typed("check", "own.toml")
    assert (outcome.code, outcome.out) == (0, "own is a valid scenario.\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("data.partition={name='iid', clients=50}", "data.partition"),
        ("data.partition={name='pathological', clients=2, classes_per_client=9}", "data.partition"),
        ("data.partition={name='natural', min_examples=99}", "data.partition.min_examples"),
        ("data.path=own/site 0", "data.path"),
    ],
)
def test_what_the_data_cannot_serve_is_refused_by_check_in_the_words_of_run(
    own, refused, change, said
):
    checked = refused("check", "own.toml", "--set", change)
    assert checked[0].startswith(said)
    assert checked == refused("run", "own.toml", "--set", change)


def test_a_damaged_picture_is_named_by_check(own, refused):
    (own / "own" / "site 0" / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (sentence,) = refused("check", "own.toml")
    assert "0.png is not" in sentence


def test_quick_reads_no_data_and_says_so(own, typed, refused, monkeypatch):
    def load(self, seed):
        raise AssertionError("data were read")

    monkeypatch.setattr("fedlab.data.sources.imagefolder.ImageFolder.load", load)
    outcome = typed("check", "own.toml", "--quick")
    assert outcome.code == 0
    assert outcome.out == "own: its keys and values are valid; its data were not read.\n"
    (sentence,) = refused("check", "own.toml", "--quick", "--set", "data.image_size=1")
    assert "data.image_size" in sentence
