"""A run goes on, and is evaluated, on the data that it began with; else the difference is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fedlab.data.content import content_of
from fedlab.data.federation import Federation
from fedlab.errors import FedlabError
from fedlab.run.baselines import run_baselines
from fedlab.run.changes import with_overrides
from fedlab.run.crossval import cross_validate
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import load_trained
from tests.shared import scenario_with
from tests.stopping import StopAfter

IRIS = {"rounds": 2, "data": {"name": "iris"}, "model": {"hidden": [4]}}


def paint(folder: Path, name: str, level: int, count: int = 10) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        colour = (level + number, level, level)
        Image.new("RGB", (4, 4), colour).save(folder / name / f"{number:02}.png")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    paint(tmp_path / "pictures", "bright", 200)
    paint(tmp_path / "pictures", "dim", 20)
    return tmp_path / "pictures"


def of_pictures(pictures: Path, *changes: str) -> Scenario:
    data = {"name": "imagefolder", "path": str(pictures), "image_size": 4}
    return scenario_with(IRIS, {"data": {**data, "partition": {"clients": 2}}}, *changes)


def begun(tmp_path: Path, scenario: Scenario) -> Path:
    folder = RunFolder.create(tmp_path / "runs", "pictures", scenario)
    run(folder, [StopAfter(1)])
    return folder.path


def resumed(path: Path) -> None:
    run(RunFolder.open(path))


def test_a_renamed_class_is_named(tmp_path: Path, pictures: Path) -> None:
    path = begun(tmp_path, of_pictures(pictures))
    (pictures / "bright").rename(pictures / "overexposed")
    told = "class 'overexposed' is new and 'bright' is gone; put them back"
    with pytest.raises(FedlabError, match=told):
        resumed(path)
    with pytest.raises(FedlabError, match=told):
        evaluate_trained(load_trained(path))
    (path / "task.json").unlink()
    with pytest.raises(FedlabError, match=told):
        load_trained(path)
    (pictures / "overexposed").rename(pictures / "bright")
    resumed(path)


def test_a_class_more_is_named(tmp_path: Path, pictures: Path) -> None:
    path = begun(tmp_path, of_pictures(pictures))
    paint(pictures, "another", 99)
    with pytest.raises(FedlabError, match="class 'another' is new; put"):
        evaluate_trained(load_trained(path))


def test_more_pictures_are_refused_on_resume(tmp_path: Path, pictures: Path) -> None:
    path = begun(tmp_path, of_pictures(pictures))
    paint(pictures, "dim", 20, count=20)
    with pytest.raises(FedlabError, match="client 0 has 12 examples and had 8, and 1 more clients"):
        resumed(path)


def test_other_pictures_of_the_same_names_are_refused(tmp_path: Path, pictures: Path) -> None:
    path = begun(tmp_path, of_pictures(pictures))
    paint(pictures, "dim", 21)
    with pytest.raises(FedlabError, match="the training examples are as many, and others"):
        resumed(path)


def test_an_older_folder_is_compared_by_classes_and_sizes(tmp_path: Path, pictures: Path) -> None:
    path = begun(tmp_path, of_pictures(pictures))
    (path / "data.json").unlink()
    resumed(path)
    paint(pictures, "dim", 20, count=20)
    with pytest.raises(FedlabError, match="client 0 has 12 examples and had 8"):
        resumed(path)


def test_data_that_have_moved_are_found_by_their_new_place(tmp_path: Path, pictures: Path) -> None:
    path = begun(tmp_path, of_pictures(pictures))
    moved = pictures.rename(tmp_path / "moved")
    with pytest.raises(FedlabError, match="there is no folder"):
        resumed(path)
    run(with_overrides(RunFolder.open(path), [f"data.path={moved}"]))
    assert RunFolder.open(path).scenario.data.path == str(moved)


def test_an_evaluation_on_other_test_examples_says_so(tmp_path: Path, pictures: Path) -> None:
    paint(pictures / "test", "bright", 210)
    paint(pictures / "test", "dim", 10)
    (pictures / "train").mkdir()
    for name in ("bright", "dim"):
        (pictures / name).rename(pictures / "train" / name)
    path = begun(tmp_path, of_pictures(pictures))
    told: list[str] = []
    evaluate_trained(load_trained(path), tell=told.append)
    assert told == []
    paint(pictures / "test", "dim", 10, count=12)
    evaluate_trained(load_trained(path), tell=told.append)
    assert [note[:31] for note in told] == ["the data set's test examples ar"]


def test_an_evaluation_takes_the_test_examples_that_the_run_took(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "few", scenario_with(IRIS, "evaluation.test_examples = 7"))
    rounds = run(folder)
    told: list[str] = []
    found = evaluate_trained(load_trained(folder.path), tell=told.append)
    assert found.compute() == pytest.approx(rounds.evaluation().compute())
    assert told == []


def changed(federation: Federation) -> Federation:
    train = federation.dataset.train
    other = replace(train, inputs=train.inputs + 1)
    return replace(federation, dataset=replace(federation.dataset, train=other))


def test_baselines_want_the_data_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = scenario_with(IRIS, 'evaluation.baselines = ["local"]')
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder)
    whole = Simulation(scenario).federation
    monkeypatch.setattr("fedlab.run.baselines.load_federation", lambda _: changed(whole))
    with pytest.raises(FedlabError, match="the training examples are as many, and others"):
        run_baselines(folder, [])


def test_the_final_fit_of_a_cross_validation_wants_its_data(tmp_path: Path) -> None:
    scenario = scenario_with(IRIS)
    result = cross_validate(scenario, 2)
    assert result.data == content_of(load_federation(scenario))
    other = scenario_with(IRIS, "data.train_examples = 60")
    for final, told in ((scenario, None), (other, "client 0|there are 60 training examples")):
        folder = RunFolder.create(tmp_path, "final", final)
        folder.write_json("crossval.json", result.as_json())
        folder.write_json("data.json", result.data)
        if told is None:
            run(folder)
        else:
            with pytest.raises(FedlabError, match=told):
                run(folder)


def test_pretrained_weights_have_to_be_the_same(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, "first", scenario_with(IRIS))
    run(first)
    weights = tmp_path / "weights.safetensors"
    state = load_file(first.path / "model.safetensors")
    save_file(state, weights)
    frozen = f'model = {{pretrained = "{weights}", trainable = "head"}}'
    path = begun(tmp_path, scenario_with(IRIS, frozen))
    save_file({name: tensor + 1 for name, tensor in state.items()}, weights)
    with pytest.raises(FedlabError, match="holds other weights than those that the run"):
        resumed(path)
    save_file(state, weights)
    resumed(path)
    assert torch.equal(
        load_file(path / "model.safetensors")["hidden.0.0.weight"], state["hidden.0.0.weight"]
    )
