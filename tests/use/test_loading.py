"""A trained network comes back from its run folder alone, or one sentence says why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fedlab.data.sources.digits import Digits
from fedlab.errors import FedlabError
from fedlab.use.loading import Trained, load_trained


@pytest.fixture
def copied(digits_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits_run, tmp_path / "run"))


def test_every_tensor_of_the_file_is_in_the_network(digits: Trained, digits_run: Path) -> None:
    saved = load_file(digits_run / "model.safetensors")
    state = digits.network.model.module.state_dict()
    assert state.keys() == saved.keys()
    assert all(torch.equal(state[name], saved[name]) for name in saved)


def test_the_network_does_not_drop_out(digits: Trained) -> None:
    assert not any(module.training for module in digits.network.model.module.modules())


def test_the_data_set_is_not_read(digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Digits, seed: int) -> None:
        raise AssertionError("the training data were read")

    monkeypatch.setattr(Digits, "load", refuse)
    assert load_trained(digits_run).task.labels == tuple("0123456789")


def test_a_run_without_task_file_asks_its_data_set(copied: Path, digits: Trained) -> None:
    (copied / "task.json").unlink()
    assert load_trained(copied).task == digits.task


def test_an_unfinished_run_names_the_command_to_resume(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(FedlabError, match="fedlab resume"):
        load_trained(copied)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match="is not a run folder"):
        load_trained(tmp_path)


def test_a_cut_weights_file_is_named(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FedlabError, match=r"model\.safetensors is not a whole safetensors file"):
        load_trained(copied)


def test_another_models_weights_are_refused_with_the_difference(copied: Path) -> None:
    weights = copied / "model.safetensors"
    state = load_file(weights)
    state["head.bias"] = torch.zeros(7)
    save_file(state, weights)
    with pytest.raises(FedlabError, match=r"'head\.bias' is \[7\] in the file and \[10\]"):
        load_trained(copied)


def test_missing_tensors_are_refused(copied: Path) -> None:
    weights = copied / "model.safetensors"
    state = load_file(weights)
    del state["head.bias"]
    save_file(state, weights)
    with pytest.raises(FedlabError, match=r"'head\.bias' is missing in the file"):
        load_trained(copied)


def test_a_task_file_with_an_unknown_kind_is_named(copied: Path) -> None:
    path = copied / "task.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "guessing"}))
    with pytest.raises(FedlabError, match=r"task\.json does not describe a task: kind"):
        load_trained(copied)
