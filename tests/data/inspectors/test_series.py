"""What is found in .ts files, and the scenario that is proposed for two of them."""

from pathlib import Path

import pytest

from fedlab.data.inspection import inspect
from fedlab.errors import FedlabError
from fedlab.use.starting import starting_scenario

HEADER = "@problemName x\n@timeStamps false\n@classLabel true up down\n@data\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = ["1,2,3:4,5,6:up", "1,?:4,5:down", "3,2,1:0,0,0:down"]
    (tmp_path / "Own_TRAIN.ts").write_text(HEADER + "\n".join(rows * 4))
    (tmp_path / "Own_TEST.ts").write_text(HEADER + "\n".join(rows))
    return tmp_path


def test_classes_channels_lengths_and_gaps_are_told(folder):
    found = inspect(folder)
    assert (found.kind, found.examples) == ("series", 15)
    assert found.classes == {"down": 10, "up": 5}
    facts = dict(found.facts)
    assert facts["channels"] == "2"
    assert facts["steps"] == "2 to 3, 3 in the middle"
    assert facts["missing values"] == "5"
    assert found.details["lengths"] == [2, 3]
    scenario = starting_scenario(found)
    assert scenario["data"]["train"] == str(folder / "Own_TRAIN.ts")
    assert scenario["data"]["partition"] == {"name": "iid", "clients": 5}


def test_the_network_suits_how_the_series_are_cut_out(folder, tmp_path):
    assert inspect(folder).scenario["model"] == {"name": "gru"}
    alike = tmp_path / "alike"
    alike.mkdir()
    for part in ("TRAIN", "TEST"):
        (alike / f"Own_{part}.ts").write_text(HEADER + "1,2,3:up\n" * 6 + "3,2,1:down\n" * 6)
    content = starting_scenario(inspect(alike))
    assert content["model"] == {"name": "mlp", "hidden": [200]}
    assert content["client"]["optimizer"]["lr"] == 0.003


def test_one_file_has_no_scenario_and_says_why(folder):
    found = inspect(folder / "Own_TRAIN.ts")
    assert found.scenario == {}
    assert "a training and a test file" in found.why_no_scenario
    with pytest.raises(FedlabError, match="a training and a test file are needed"):
        starting_scenario(found)


def test_a_video_is_no_series(tmp_path):
    (tmp_path / "film.ts").write_bytes(b"\x47\x00\x11\x10" * 50)
    with pytest.raises(FedlabError, match="nothing that is read"):
        inspect(tmp_path / "film.ts")
