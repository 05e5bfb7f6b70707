"""A model that does not fit into memory is refused before any of it is allocated."""

from __future__ import annotations

import tracemalloc

import pytest

from fedlab.data.dataset import Encoding, Scaling, Task
from fedlab.data.log_mel import LogMel
from fedlab.errors import FedlabError
from fedlab.models.network import build_network
from fedlab.models.settings import ModelSettings
from fedlab.models.size import count_parameters, worker_bytes
from fedlab.registry import models
from fedlab.run import memory
from fedlab.run.memory import check_memory, worker_count
from tests.shared import scenario_with

TASK = Task("classification", "image", (1, 8, 8), 10)


SOUND = LogMel(16_000, 1600, 400, 160, 40, 0.0, 8000.0, -30.0)
BANDS = Scaling(tuple(map(str, range(40))), (-3.0,) * 40, (2.0,) * 40)
PICTURES = Task("classification", "image", (1, 32, 32), 10)
TASKS = (
    PICTURES,
    Task("classification", "text", (12,), 10, vocabulary=20),
    Task("next-token", "text", (12,), 20, vocabulary=20),
    Task("sequence-to-sequence", "text", (12,), 20, vocabulary=20),
    Task("reconstruction", "image", (1, 32, 32), 1024),
    Task("regression", "tabular", (4,), 1),
    Task("classification", "series", (11, 40), 3, encoding=Encoding(features=BANDS, sound=SOUND)),
)
MODELS = ["resnet10t", "torchvision/resnet18", *models.names()]


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_counted_as_they_are_built(name: str) -> None:
    keys = {"image_size": 32} if name in MODELS[:2] else {}
    model = scenario_with({"model": None}, {"model": {"name": name, **keys}}).model
    tasks = [task for task in TASKS if fits(model, task)]
    assert tasks
    task = tasks[0]
    built = build_network(model, task, 0).model.module
    assert count_parameters(model, task) == sum(p.numel() for p in built.parameters())


def fits(model: ModelSettings, task: Task) -> bool:
    try:
        build_network(model, task, 0)
    except FedlabError:
        return False
    return True


def test_a_large_model_is_refused_without_allocating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 24 * 10**9)
    scenario = scenario_with(
        "model.hidden = [32768, 32768]\nengine = {name = 'ray', workers = 2}\n"
        "client.optimizer = {name = 'adam'}"
    )
    tracemalloc.start()
    with pytest.raises(FedlabError) as refused:
        check_memory(scenario, TASK)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert str(refused.value) == (
        "model: with 1,076,232,202 parameters, this model needs 21.5 GB a worker, and this "
        "machine has 24.0 GB for the server and 2 workers; take smaller or fewer layers in "
        "[model], or fewer engine.workers"
    )


def test_a_model_that_fits_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = scenario_with("model.hidden = [1024, 1024]")
    monkeypatch.setattr(memory, "machine_memory", lambda: 100 * 10**6)
    check_memory(scenario, TASK)
    monkeypatch.setattr(memory, "machine_memory", lambda: 10 * 10**6)
    with pytest.raises(FedlabError, match="GB a worker"):
        check_memory(scenario, TASK)


def test_what_is_not_trained_takes_its_weights_alone() -> None:
    assert worker_bytes(100, "all", "sgd", 0.0) == 1200
    assert worker_bytes(100, "all", "sgd", 0.9) == 1600
    assert worker_bytes(100, "all", "adam", 0.0) == 2000
    assert worker_bytes(100, "head", "adam", 0.0) == 400


def test_workers_are_those_of_the_engine() -> None:
    assert worker_count(scenario_with()) == 1
    assert worker_count(scenario_with("engine = {name = 'ray', workers = 7}")) == 7
    assert worker_count(scenario_with("engine = {name = 'flower', cpus = 3}")) == 3


def test_the_machines_memory_is_known() -> None:
    found = memory.machine_memory()
    assert found is None or found > 10**8
