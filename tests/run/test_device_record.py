"""A run folder says what its clients were trained on, and a change of it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedlab.engine import devices
from fedlab.engine.base import Engine
from fedlab.errors import FedlabError
from fedlab.run.changes import with_overrides
from fedlab.run.device_record import record_devices
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with

A100, RADEON = "NVIDIA A100 (cuda)", "Radeon (cuda)"


def folder_in(path: Path) -> RunFolder:
    return RunFolder.create(path, "run", scenario_with(rounds=2))


def recorded(folder: RunFolder) -> dict[str, str]:
    content = json.loads((folder.path / "environment.json").read_text())
    assert content["fedlab"]
    found: dict[str, str] = content["devices"]
    return found


def test_a_run_records_its_device_and_says_it_in_the_summary(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    run(folder)
    own = devices.models_of("cpu")
    assert own.endswith("(cpu)")
    assert recorded(folder) == {"from round 1": own}
    engine = json.loads((folder.path / "summary.json").read_text())["engine"]
    assert (engine["devices"], engine["deterministic"]) == (own, True)


def test_another_kind_of_device_is_told_once(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    assert record_devices(folder, A100, 0) == []
    assert record_devices(folder, A100, 3) == []
    (note,) = record_devices(folder, RADEON, 3)
    assert note.startswith(f"from round 4 on clients train on {RADEON}, and until then on {A100}")
    assert "not, bit for bit" in note
    assert record_devices(folder, RADEON, 5) == []
    assert recorded(folder) == {"from round 1": A100, "from round 4": RADEON}


def test_what_was_not_reached_does_not_count(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    record_devices(folder, A100, 0)
    assert record_devices(folder, RADEON, 0) == []
    assert recorded(folder) == {"from round 1": RADEON}
    record_devices(folder, A100, 4)
    assert record_devices(folder, RADEON, 2) == []
    assert recorded(folder) == {"from round 1": RADEON}


def test_sites_with_devices_of_their_own_are_not_recorded(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    assert record_devices(folder, "", 0) == []
    assert "devices" not in json.loads((folder.path / "environment.json").read_text())


def test_a_run_goes_on_with_a_note_on_another_device_than_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_in(tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(Engine, "device_models", lambda engine: A100)
        run(folder)
    longer = with_overrides(RunFolder.open(folder.path), ["rounds=3"])
    run(longer)
    notes = json.loads((folder.path / "notes.json").read_text())["notes"]
    assert any(note.startswith("from round 3 on clients train on") for note in notes)


def test_a_run_whose_device_is_not_here_names_the_key_that_goes_on(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(rounds=2))
    run(folder)
    missing = with_overrides(RunFolder.open(folder.path), ["engine.device=cuda", "rounds=3"])
    with pytest.raises(FedlabError, match=r"'fedlab resume \S+ --set engine\.device=auto' goes on"):
        run(missing)
    here = with_overrides(missing, ["engine.device=auto"])
    assert run(here).round == 3
