"""A compressed run can be used like a run, and plain torch loads what computes in int8."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario.parts import load_dataset
from fedlab.use.compress import Options, compress
from fedlab.use.export import example, export
from fedlab.use.loading import load_trained


def test_pruned_int8_weights_are_a_fraction_of_the_size_and_nearly_as_good(
    digits_run: Path, tmp_path: Path
) -> None:
    trained = load_trained(digits_run)
    folder, rows = compress(trained, Options(prune=0.3, int8=True), tmp_path / "small")
    before, after, kernels = rows
    assert after.megabytes < 0.6 * before.megabytes
    assert after.zeros == pytest.approx(0.3, abs=0.02)
    assert before.zeros == 0
    assert abs(after.metrics["accuracy"] - before.metrics["accuracy"]) < 0.1
    assert abs(kernels.metrics["accuracy"] - after.metrics["accuracy"]) < 0.05
    assert all(row.milliseconds_1 > 0 < row.milliseconds_64 for row in rows)
    written = json.loads((folder / "compression.json").read_text())
    assert written["options"] == {
        "prune": 0.3, "prune_channels": 0.0, "int8": True, "rank": None, "bits": None
    }  # fmt: skip
    inputs = example(trained, 3)
    found = torch.jit.load(folder / "int8.pt")(inputs)
    whole = load_trained(folder).network.model.call(inputs)
    assert (found - whole).abs().max() < 0.1 * whole.abs().max()


def test_a_network_without_channels_is_smaller_and_is_used_and_trained_further_like_a_run(
    digits_run: Path, tmp_path: Path
) -> None:
    trained = load_trained(digits_run)
    folder, rows = compress(trained, Options(prune_channels=0.5), tmp_path / "small")
    before, after = rows
    assert after.megabytes < 0.6 * before.megabytes
    smaller = load_trained(folder)
    assert smaller.scenario.model.sizes == (4, 32)
    assert after.metrics["accuracy"] > 0.2
    stored = load_dataset(smaller.scenario).test.inputs[:5]
    scripted = torch.jit.load(export(smaller, "torchscript", tmp_path / "model.pt"))
    torch.testing.assert_close(scripted(smaller.prepare(stored)), smaller.outputs(stored))
    model = smaller.scenario.model.model_copy(update={"pretrained": str(folder)})
    again = smaller.scenario.model_copy(update={"model": model, "rounds": 1})
    run(further := RunFolder.create(tmp_path, "further", again))
    lines = [json.loads(x) for x in (further.path / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["test"]["accuracy"] == pytest.approx(after.metrics["accuracy"], abs=0.01)
    assert lines[1]["test"]["accuracy"] > lines[0]["test"]["accuracy"]


def test_a_compressed_run_is_exported_and_a_model_begins_from_it(
    digits_run: Path, tmp_path: Path
) -> None:
    folder, _ = compress(load_trained(digits_run), Options(int8=True), tmp_path / "small")
    smaller = load_trained(folder)
    stored = load_dataset(smaller.scenario).test.inputs[:5]
    scripted = torch.jit.load(export(smaller, "torchscript", tmp_path / "model.pt"))
    torch.testing.assert_close(scripted(smaller.prepare(stored)), smaller.outputs(stored))
    from fedlab.models.weight_files import read_weights

    state = smaller.network.model.module.state_dict()
    again = read_weights(folder, state)
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "nothing to do; say --prune 0.8, --prune-channels 0.5, --int8"),
        ({"prune": 1.0}, "--prune: it must be at least 0 and below 1, not 1"),
        ({"prune_channels": 1.5}, "--prune-channels: it must be at least 0 and below 1, not 1.5"),
        ({"bits": 9}, "--bits: it must be from 2 to 8, not 9"),
        ({"bits": 4, "int8": True}, "--bits: --int8 stores weights in 8 bits"),
        ({"rank": 0.0, "prune": 0.1}, "--rank: it must be above 0 and at most 1, not 0"),
        ({"rank": 0.5, "int8": True}, "--rank: factors of a pruned matrix"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    digits_run: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(FedlabError, match=told):
        compress(load_trained(digits_run), Options(**options), tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_a_folder_that_is_there_stays_as_it_is(digits_run: Path) -> None:
    with pytest.raises(FedlabError, match="is there already; name another folder"):
        compress(load_trained(digits_run), Options(int8=True), digits_run)
