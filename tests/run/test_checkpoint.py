import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedlab.errors import FedlabError
from fedlab.run.checkpoint import Checkpoint, load_latest, save


def checkpoint(number: int) -> Checkpoint:
    return Checkpoint(
        number,
        np.linspace(0, 1, 5, dtype=np.float32),
        {
            "m_t": {"weights": np.ones(2)},
            "last": None,
            "list": [np.zeros(1), 2.5],
            "record": RecordDict({"config": ConfigRecord({"seen": 4})}),
            "arrays": ArrayRecord({"c": Array(np.arange(3.0))}),
        },
        ("00000007.safetensors",),
        {"round": number},
        {"early_stopping": {"best": 0.5}},
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save(tmp_path, checkpoint(3))
    found = load_latest(tmp_path)
    assert found is not None
    assert found.round == 3
    np.testing.assert_array_equal(found.weights, checkpoint(3).weights)
    np.testing.assert_array_equal(found.strategy["m_t"]["weights"], np.ones(2))
    assert found.strategy["last"] is None
    assert found.strategy["list"][1] == 2.5
    np.testing.assert_array_equal(found.strategy["arrays"]["c"].numpy(), np.arange(3))
    assert found.strategy["record"].config_records["config"]["seen"] == 4
    assert found.clients == ("00000007.safetensors",)
    assert found.extra["early_stopping"] == {"best": 0.5}


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path, checkpoint(number))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["round-00003", "round-00004"]


def test_state_files_go_when_no_checkpoint_names_them(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.mkdir()
    for number in range(4):
        (clients / str(number)).write_text("")
        save(tmp_path, replace(checkpoint(number), clients=(str(number),)))
    assert sorted(path.name for path in clients.iterdir()) == ["2", "3"]


def test_a_half_written_checkpoint_is_never_seen(tmp_path: Path) -> None:
    save(tmp_path, checkpoint(1))
    partial = tmp_path / ".round-00002.part"
    partial.mkdir()
    (partial / "state.json").write_text("{")
    found = load_latest(tmp_path)
    assert found is not None
    assert found.round == 1
    save(tmp_path, checkpoint(2))
    assert load_latest(tmp_path).round == 2  # type: ignore[union-attr]


def test_a_corrupt_checkpoint_is_named(tmp_path: Path) -> None:
    save(tmp_path, checkpoint(1))
    (tmp_path / "round-00001" / "state.json").write_text(json.dumps({"round": 1})[:-3])
    with pytest.raises(FedlabError, match="round-00001"):
        load_latest(tmp_path)


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "absent") is None
