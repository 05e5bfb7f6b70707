"""``fedlab data inspect``: what is there, and a scenario that passes ``fedlab check``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def digits(desk: Path) -> Path:
    from sklearn.datasets import load_digits

    pictures, classes = load_digits(return_X_y=True)
    for number, (values, label) in enumerate(zip(pictures, classes, strict=True)):
        if label < 2 and number < 120:
            site = desk / "own" / ("north", "south")[number % 2]
            path = site / f"digit {label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((values.reshape(8, 8) * 15).astype(np.uint8)).save(path)
    return desk / "own"


def test_what_is_found_becomes_a_scenario_that_passes_check(digits, typed):
    outcome = typed("data", "inspect", digits, "-o", "start.toml")
    assert outcome.code == 0, outcome.errors
    lines = dict(line.split("  ", 1) for line in outcome.out.splitlines() if "  " in line)
    assert lines["sites"].strip() == "2: north 13, south 12"
    assert "digit 0" in lines["classes"]
    assert outcome.out.splitlines()[-1] == "scenario: start.toml"
    checked = typed("check", "start.toml")
    assert checked.code == 0, checked.errors
    assert checked.out == "start is a valid scenario.\n"


def test_json_is_one_object_on_standard_output(digits, typed):
    outcome = typed("data", "inspect", digits, "--json")
    found = json.loads(outcome.out)
    assert found["kind"] == "pictures"
    assert found["sites"] == {"north": 13, "south": 12}
    assert found["scenario"]["data"]["clients_by"] == "folder"
    assert outcome.errors == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "there is no file or folder nowhere"),
        (["own", "--kind", "pictues"], "unknown kind of data 'pictues'. Did you mean 'pictures'?"),
        (["own", "-o", "start.txt"], "--output: start.txt should end in .toml"),
        (["own", "-o", "scenario.toml"], "--output: scenario.toml is there already; name another"),
        (["own", "-o", "no/start.toml"], "--output: no/start.toml cannot be written"),
    ],
)
def test_mistakes_are_a_sentence(digits, refused, words, said):
    (sentence,) = refused("data", "inspect", *words)
    assert sentence.startswith(said)
