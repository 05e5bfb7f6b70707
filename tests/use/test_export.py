"""An exported network says what the trained one says, for batches of any size."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fedlab.data.dataset import Dataset
from fedlab.errors import FedlabError
from fedlab.scenario.parts import load_dataset
from fedlab.use import export as export_module
from fedlab.use.export import TORCHSCRIPT_METADATA, export, format_of
from fedlab.use.loading import Trained, load_trained

RUNS = ("digits_run", "texts_run", "forecast_run", "remember_run", "reverse_run")


@pytest.fixture(params=RUNS)
def trained(request: pytest.FixtureRequest) -> Trained:
    return load_trained(request.getfixturevalue(request.param))


@pytest.fixture
def dataset(trained: Trained) -> Dataset:
    return load_dataset(trained.scenario)


def run_onnx(path: Path, inputs: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(["outputs"], {"inputs": inputs.numpy()})
    return torch.from_numpy(outputs)


def test_onnxruntime_gives_the_same_outputs_on_test_examples(
    trained: Trained, dataset: Dataset, tmp_path: Path
) -> None:
    path = export(trained, "onnx", tmp_path / "model.onnx")
    for count in (1, 3, 20):
        stored = dataset.test.inputs[:count]
        found = run_onnx(path, trained.prepare(stored))
        assert len(found) == count
        assert (found - trained.outputs(stored)).abs().max() < 1e-4


def test_torchscript_gives_the_same_outputs_on_test_examples(
    trained: Trained, dataset: Dataset, tmp_path: Path
) -> None:
    path = export(trained, "torchscript", tmp_path / "model.pt")
    for count in (1, 3, 20):
        stored = dataset.test.inputs[:count]
        found = torch.jit.load(path)(trained.prepare(stored))
        assert len(found) == count
        assert (found - trained.outputs(stored)).abs().max() < 1e-5


def test_safetensors_hold_the_whole_state_dict(digits: Trained, tmp_path: Path) -> None:
    saved = load_file(export(digits, "safetensors", tmp_path / "model.safetensors"))
    state = digits.network.model.module.state_dict()
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[name], state[name]) for name in state)


def metadata_of(path: Path) -> dict[str, str]:
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return dict(file.metadata())
    if path.suffix == ".onnx":
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    extra = {TORCHSCRIPT_METADATA: ""}
    torch.jit.load(path, _extra_files=extra)
    return dict(json.loads(extra[TORCHSCRIPT_METADATA]))


@pytest.mark.parametrize(
    ("form", "suffix"), [("safetensors", ".safetensors"), ("onnx", ".onnx"), ("torchscript", ".pt")]
)
def test_the_metadata_say_how_to_prepare_pictures(
    digits: Trained, digits_run: Path, tmp_path: Path, form: str, suffix: str
) -> None:
    found = metadata_of(export(digits, form, tmp_path / f"model{suffix}"))
    described = json.loads(found["preprocessing"])
    assert described["inputs"]["shape"] == ["batch", 1, 8, 8]
    assert described["outputs"]["labels"] == json.loads(found["labels"]) == list("0123456789")
    assert described["outputs"]["are"] == "logits"
    assert json.loads(found["task"]) == json.loads((digits_run / "task.json").read_text())
    steps = {step["step"]: step for step in described["steps"]}
    assert [*steps] == ["decode", "resize and crop", "convert", "transpose", "divide"]
    assert (steps["resize and crop"]["size"], steps["convert"]["mode"]) == ([8, 8], "L")
    pixels = load_dataset(digits.scenario).test.inputs[:2]
    assert torch.allclose(pixels / steps["divide"]["by"], digits.prepare(pixels), atol=1e-6)


def test_exporting_leaves_the_network_as_it_was(digits: Trained, tmp_path: Path) -> None:
    before = {name: t.clone() for name, t in digits.network.model.module.state_dict().items()}
    export(digits, "onnx", tmp_path / "model.onnx")
    after = digits.network.model.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert next(digits.network.model.module.parameters()).requires_grad


def test_onnx_alone_refuses_padded_text_read_backwards(backwards_run: Path, tmp_path: Path) -> None:
    trained = load_trained(backwards_run)
    with pytest.raises(FedlabError, match="torchscript and safetensors serve it"):
        export(trained, "onnx", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
    path = export(trained, "torchscript", tmp_path / "model.pt")
    stored = load_dataset(trained.scenario).test.inputs
    found = torch.jit.load(path)(trained.prepare(stored))
    assert (found - trained.outputs(stored)).abs().max() < 1e-5


def test_a_missing_package_is_named_with_what_to_install(
    digits: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        export_module, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(FedlabError, match=r"onnxscript: pip install 'fedlab-sim\[onnx\]'"):
        export(digits, "onnx", tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("form", "output", "chosen"),
    [
        (None, None, "safetensors"),
        (None, "a/model.onnx", "onnx"),
        (None, "MODEL.PT", "torchscript"),
        (None, "model.bin", "safetensors"),
        ("onnx", "model", "onnx"),
        ("torchscript", "model.pt", "torchscript"),
    ],
)
def test_a_files_suffix_says_the_format_where_no_option_does(
    form: str | None, output: str | None, chosen: str
) -> None:
    assert format_of(form, Path(output) if output else None) == chosen


def test_a_suffix_of_another_format_is_refused() -> None:
    sentence = "'.onnx' is the suffix of onnx, and --format is 'safetensors', whose files end in"
    with pytest.raises(FedlabError, match=sentence):
        format_of("safetensors", Path("model.onnx"))


def test_an_unknown_format_names_the_nearest(digits: Trained) -> None:
    with pytest.raises(FedlabError, match="Did you mean 'onnx'"):
        export(digits, "onxx")


def test_a_place_that_cannot_be_written_is_named(digits: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FedlabError, match="cannot be written: there is no folder"):
        export(digits, "safetensors", tmp_path / "file" / "model.safetensors")
    with pytest.raises(FedlabError, match="is a folder"):
        export(digits, "safetensors", tmp_path)


def test_a_failed_export_leaves_nothing(
    digits: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(module: object, inputs: object, described: object, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export_module._WRITERS, "safetensors", fail)
    with pytest.raises(FedlabError, match="No space left"):
        export(digits, "safetensors", tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_made_for_an_export(digits: Trained, tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match=f"there is no folder {tmp_path / 'absent'}"):
        export(digits, "safetensors", tmp_path / "absent" / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_only_a_file_is_replaced(digits: Trained, tmp_path: Path) -> None:
    kept, link, pipe = tmp_path / "kept", tmp_path / "link.safetensors", tmp_path / "pipe"
    kept.write_text("kept")
    link.symlink_to(kept)
    os.mkfifo(pipe)
    with pytest.raises(FedlabError, match="is a link to"):
        export(digits, "safetensors", link)
    for place in (pipe, Path("/dev/null")):
        with pytest.raises(FedlabError, match="is no regular file, and is not replaced"):
            export(digits, "safetensors", place)
    assert kept.read_text() == "kept"
    assert link.is_symlink()
    assert export(digits, "safetensors", kept) == kept
    assert "head.weight" in load_file(kept)


def test_a_file_of_the_run_is_not_replaced(digits: Trained) -> None:
    with pytest.raises(FedlabError, match="is a file of the run; name another one"):
        export(digits, "safetensors", digits.folder.path / "scenario.toml")
    first = export(digits, "safetensors")
    assert export(digits, "safetensors") == first


def test_the_second_file_of_large_weights_is_moved_with_the_first(
    digits: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.onnx._internal.exporter._onnx_program._LARGE_MODEL_THRESHOLD", 0)
    path = export(digits, "onnx", tmp_path / "model.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    stored = load_dataset(digits.scenario).test.inputs[:3]
    found = run_onnx(path, digits.prepare(stored))
    assert (found - digits.outputs(stored)).abs().max() < 1e-4
    (tmp_path / "model.onnx.data").unlink()
    (tmp_path / "model.onnx.data").mkdir()
    before = path.read_bytes()
    with pytest.raises(FedlabError, match=r"model\.onnx\.data is a folder"):
        export(digits, "onnx", path)
    assert path.read_bytes() == before
