"""A trained network is used on a device: the run's own, the one asked for, or the CPU."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import load
from fedlab.scenario.parts import load_dataset
from fedlab.use.devices import on_its_device
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import load_trained
from tests.cli.test_use_commands import fedlab
from tests.devices.strict import counted, limited, used
from tests.shared import scenario_with

pytestmark = pytest.mark.usefixtures("strict")
STRICT = torch.device("privateuseone:0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run on the device, of a network with a state of its own."""
    scenario = scenario_with(
        rounds=1,
        engine={"device": "strict"},
        model={"name": "cnn", "dropout": 0.2, "batch_norm": "train"},
    )
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "run", scenario)
    run(folder)
    return folder.path


def test_it_is_used_where_it_was_trained_and_gives_the_figures_of_the_summary(
    trained: Path,
) -> None:
    notes: list[str] = []
    found = on_its_device(load_trained(trained), None, notes.append)
    assert (found.device, notes) == (STRICT, [])
    expected = json.loads((trained / "summary.json").read_text())["test"]
    assert evaluate_trained(found).compute() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("device", ["strict", "cpu"])
def test_a_network_computes_in_the_runs_precision_on_the_runs_device_alone(
    tmp_path: Path, device: str
) -> None:
    engine = {"device": device, "precision": "bf16"}
    folder = RunFolder.create(tmp_path, "run", scenario_with(rounds=1, engine=engine))
    run(folder)
    expected = json.loads((folder.path / "summary.json").read_text())["test"]
    other = {"strict": "cpu", "cpu": "strict"}[device]
    own, elsewhere = (
        on_its_device(load_trained(folder.path), wanted, pytest.fail) for wanted in (None, other)
    )
    assert evaluate_trained(own).compute() == pytest.approx(expected, rel=1e-6)
    inputs = load_dataset(own.scenario).test.inputs[:50]
    plain = load_trained(folder.path).outputs(inputs)
    assert torch.allclose(elsewhere.outputs(inputs), plain, rtol=1e-5, atol=1e-6)
    assert own.outputs(inputs).dtype == torch.float32
    assert 1e-5 < (own.outputs(inputs) - plain).abs().max() < 0.1 * plain.abs().max()


@pytest.mark.parametrize(("wanted", "device"), [("cpu", torch.device("cpu")), ("auto", STRICT)])
def test_another_device_can_be_asked_for(trained: Path, wanted: str, device: torch.device) -> None:
    there = on_its_device(load_trained(trained), wanted, pytest.fail)
    assert there.device == device
    inputs = load_dataset(there.scenario).test.inputs[:5]
    outputs = there.outputs(inputs)
    assert outputs.device.type == "cpu"
    assert torch.equal(outputs, load_trained(trained).outputs(inputs))


def test_a_device_that_is_not_here_is_refused_and_the_runs_own_replaced(
    trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(FedlabError, match=r"^--device: there is no device of type 'cuda' here"):
        on_its_device(load_trained(trained), "cuda", pytest.fail)
    text = (trained / "scenario.toml").read_text()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in ("model.safetensors", "task.json"):
        (elsewhere / file).write_bytes((trained / file).read_bytes())
    (elsewhere / "scenario.toml").write_text(text.replace('"strict"', '"cuda"'))
    notes: list[str] = []
    found = on_its_device(load_trained(elsewhere), None, notes.append)
    assert found.device.type == "cpu"
    (note,) = notes
    assert "engine.device, 'cuda', is not on this machine" in note


def test_a_model_that_does_not_fit_is_refused(trained: Path) -> None:
    with limited(used() + 100), pytest.raises(FedlabError, match="--device cpu does"):
        on_its_device(load_trained(trained), "strict", pytest.fail)


def test_the_commands_take_the_option(trained: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    from PIL import Image

    Image.new("L", (8, 8), 9).save(picture)
    for command, rest in (("evaluate", ["--json"]), ("predict", [picture, "--json"])):
        answers = []
        for option in ([], ["--device", "cpu"], ["--device", "strict:1"]):
            with counted() as copies:
                done = fedlab(command, trained, *rest, *option, folder=tmp_path)
            assert done.code == 0, done.stderr
            answers.append(json.loads(done.stdout))
            assert (copies[0].to_device > 0) == (option != ["--device", "cpu"])
        assert answers[0] == answers[1] == answers[2]
        done = fedlab(command, trained, *rest, "--device", "cuda:9", folder=tmp_path)
        assert (done.code, done.stdout) == (2, "")
        assert "--device: there is no device 'cuda:9' here" in done.stderr


def test_finetune_writes_the_device_into_the_scenario(tmp_path: Path) -> None:
    from tests.use.test_finetune import paint

    for name in ("cat", "dog"):
        paint(tmp_path / "pets" / name)
    options = ("--data", "pets", "--backbone", "lenet", "--dry-run", "--device")
    done = fedlab("finetune", *options, "auto", folder=tmp_path)
    assert done.code == 0, done.stderr
    assert "clients train on engine.device = 'auto'" in done.stdout
    named = re.search(r"Scenario +(\S+)", done.stdout)
    assert named is not None
    path = tmp_path / named[1]
    assert tomllib.loads(path.read_text())["engine"] == {"device": "auto"}
    assert load(str(path)).engine.name == "ray"
    refused = fedlab("finetune", *options, "cuda:7", folder=tmp_path)
    assert refused.code == 2
    assert "engine.device: there is no device 'cuda:7' here" in refused.stderr
    unreadable = fedlab("finetune", *options, "CUDA!", folder=tmp_path)
    assert unreadable.code == 2
    assert "engine.device" in unreadable.stderr
