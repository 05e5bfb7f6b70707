"""What a worker does on a device other than the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from fedlab import seeding
from fedlab.data import on_device
from fedlab.data.dataset import Examples
from fedlab.engine import devices
from fedlab.engine.blocks import ClientJob
from fedlab.engine.worker.block_runner import BlockRunner
from fedlab.engine.worker.placement import Placement
from fedlab.engine.worker.worker import Worker
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from fedlab.wire.protocol import node_of
from tests.devices.strict import counted
from tests.shared import Changes, scenario_with

pytestmark = pytest.mark.usefixtures("strict")
DEVICE = torch.device("privateuseone:0")  # "strict:0", once that is registered
ON_DEVICE = {"engine": {"device": "strict"}}


def after_a_round(*changes: Changes) -> torch.Tensor:
    with Simulation(scenario_with({"rounds": 1}, *changes)) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        return torch.as_tensor(rounds.weights)


def worker_of(*changes: Changes) -> Worker:
    scenario = scenario_with(*changes)
    return Worker(scenario, load_federation(scenario))


def content_with(weights: torch.Tensor) -> RecordDict:
    arrays = ArrayRecord({"weights": Array(weights.numpy())})
    return RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": 1})})


def test_the_model_and_the_data_are_on_the_device() -> None:
    with Simulation(scenario_with(ON_DEVICE)) as simulation:
        worker = simulation.engine._runner.worker  # type: ignore[attr-defined]
        model, train = worker.network.model, worker.federation.dataset.train
        tensors = [model.weights, model.gradient, *model.module.parameters(), *train.shared]
        assert {tensor.device for tensor in tensors} == {DEVICE}
        assert simulation.federation.dataset.train.inputs.device.type == "cpu"


def test_the_other_device_of_its_type_can_be_asked_for() -> None:
    on_cpu = after_a_round()
    assert torch.equal(after_a_round({"engine": {"device": "strict:1"}}), on_cpu)


def test_auto_takes_it() -> None:
    assert devices.resolved("auto") == DEVICE
    assert [device.name for device in devices.described()] == ["cpu", "strict:0", "strict:1"]


def test_weights_and_data_are_moved_once_for_all_clients() -> None:
    numbers = {}
    for clients in (3, 6):
        changes = {"data": {"partition": {"clients": clients}}, "engine": {"vectorised": False}}
        with counted() as copies:
            after_a_round(ON_DEVICE, changes)
        numbers[clients] = copies[0]
    # A further client costs the order of its epoch's examples, its losses and, alone in its block,
    # its update.
    assert numbers[6].to_device - numbers[3].to_device == 3 * 3
    assert numbers[6].to_host - numbers[3].to_host == 2 * 3


@pytest.mark.parametrize("stacked", [False, 8], ids=["one by one", "stacked"])
def test_a_block_takes_one_copy_of_the_weights_and_gives_one_back(stacked: bool | int) -> None:
    keys = {"model": {"hidden": [512]}, "engine": {"device": "strict", "vectorised": stacked}}
    copied = {}
    for clients in (2, 8):
        worker = worker_of(keys, {"data": {"partition": {"clients": clients}}})
        runner = BlockRunner(worker, "")
        content = content_with(worker.network.model.wire().cpu())
        jobs = [ClientJob(k, Message(content, node_of(k), "train")) for k in range(clients)]
        weights = 4 * worker.network.model.layout.wire_size
        with counted() as copies:
            result = runner.run(jobs, combine=True)
        assert len(result.reports) == clients
        copied[clients] = copies[0]
        # What else is copied, the order of examples and losses, is less than the weights.
        assert weights <= copies[0].bytes_to_device < 2 * weights
        assert 2 * weights <= copies[0].bytes_to_host < 3 * weights
    # Stacked clients' losses come in one vector.
    assert copied[8].to_host - copied[2].to_host <= 6


def test_a_block_of_one_gives_its_weights_back_as_they_are() -> None:
    worker = worker_of(ON_DEVICE, {"engine": {"vectorised": False}})
    content = content_with(worker.network.model.wire().cpu())
    job = ClientJob(0, Message(content, node_of(0), "train"))
    result = BlockRunner(worker, "").run([job], combine=True)
    assert result.sum is not None
    (array,) = result.sum.arrays.values()
    assert array.dtype == "float32"


def test_what_others_look_at_leaves_the_device_at_once() -> None:
    plain, processed, attacked = (
        worker_of(ON_DEVICE, changes)
        for changes in (
            {},
            {"updates": [{"name": "float16"}]},
            {"attack": {"name": "sign-flip", "clients": [0]}},
        )
    )
    found = [worker.sums_on_device for worker in (plain, processed, attacked, worker_of())]
    assert found == [True, False, False, False]


def test_no_step_waits_for_the_device() -> None:
    numbers = []
    for epochs in (2, 6):
        changes = {"client": {"epochs": epochs, "batch_size": 8}, "engine": {"vectorised": False}}
        with counted() as copies:
            after_a_round(ON_DEVICE, changes)
        numbers.append((copies[0].numbers, copies[0].to_host))
    assert numbers[0] == numbers[1]


def test_a_vector_that_nobody_holds_does_not_stay_on_the_device() -> None:
    placement = Placement(DEVICE)
    placement.shared(torch.ones(5))
    assert len(placement._moved) == 0


def test_what_a_message_brings_is_moved_and_the_cpus_is_left_alone() -> None:
    asked = Assignment(0, 1, torch.ones(2), {"extra": torch.ones(3)}, {}, {"kept": torch.ones(4)})
    placed = Placement(DEVICE).assignment(asked)
    vectors = [placed.wire, *placed.arrays.values(), *placed.state.values()]
    assert {vector.device for vector in vectors} == {DEVICE}
    assert asked.wire.device.type == "cpu"
    assert Placement(torch.device("cpu")).assignment(asked) is asked


@pytest.mark.parametrize("wanted", [[3, 0, 2], []])
def test_examples_that_do_not_fit_are_moved_as_they_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, wanted: list[int]
) -> None:
    federation = load_federation(scenario_with())
    whole = federation.dataset.train
    fitting = on_device.on_device(federation, DEVICE).dataset.train
    monkeypatch.setattr(on_device, "_free", lambda device: 1)
    moved = on_device.on_device(federation, DEVICE).dataset.train
    assert isinstance(moved, on_device.MovedExamples)
    assert type(fitting) is Examples
    rows = torch.tensor(wanted, dtype=torch.int64)
    for found in (fitting, moved):
        views = [found.take(rows), found.select(rows.numpy())]
        for view in views:
            assert view.inputs.device == view.targets.device == DEVICE
            assert torch.equal(view.inputs.cpu(), whole.inputs[rows])
            assert torch.equal(view.targets.cpu(), whole.targets[rows])
        assert torch.equal(found.inputs_at(rows).cpu(), whole.inputs[rows])
        assert torch.equal(found.targets_at(rows).cpu(), whole.targets[rows])
    assert torch.equal(after_a_round(ON_DEVICE), after_a_round())


def test_dropout_on_a_device_depends_on_the_seed_alone() -> None:
    changes: Changes = "model.dropout = 0.5\nengine.vectorised = false"
    first = after_a_round(ON_DEVICE, changes)
    torch.nn.functional.dropout(torch.ones(10, device=DEVICE))
    assert torch.equal(after_a_round(ON_DEVICE, changes), first)
    assert not torch.equal(after_a_round(ON_DEVICE, changes, {"seed": 9}), first)


def test_the_devices_generator_is_put_back() -> None:
    seeding.seed_also(DEVICE)
    before = torch.strict.get_rng_state()  # type: ignore[attr-defined]
    with seeding.scope(1, "a test"):
        torch.nn.functional.dropout(torch.ones(10, device=DEVICE))
    assert torch.equal(torch.strict.get_rng_state(), before)  # type: ignore[attr-defined]


OPTIONS: dict[str, str] = {
    "augmented pictures": 'data.name = "digits"\ndata.augmentation = {crop_padding = 1, '
    'flip = true, randaugment = 1, mixup = 0.2}\nmodel.name = "cnn"',
    "class weights": 'client.class_weights = "balanced"\nengine.vectorised = false',
    "L2-SP": "client.l2_sp = 0.1\nclient.l2_sp_head = 0.2\nengine.vectorised = false",
    "layers with rates of their own": "client.optimizer.layer_decay = 0.5",
    "clipped and decayed": "client.clip_norm = 0.1\nclient.optimizer.weight_decay = 0.1",
    "Adam, stacked": 'client.optimizer.name = "adam"',
    "early stopping": "client.epochs = 3\ndata.validation = 0.2\n"
    'client.early_stopping = {metric = "loss", patience = 1}',
    "cached features": 'rounds = 2\nmodel = {name = "cnn", trainable = "head"}',
    "clients with models of their own": 'model.personal = "head"\nevaluation.federated = true',
}


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_options_of_training_give_the_bits_of_the_cpu(
    changes: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
    assert torch.equal(after_a_round(changes, ON_DEVICE), after_a_round(changes))


def test_an_update_of_a_clients_own_code_may_be_on_the_device_or_the_cpu() -> None:
    from fedlab.errors import FedlabError
    from fedlab.training.task import Update, is_update

    update = Update(torch.ones(3, device=DEVICE), 1, {}, {"more": torch.ones(2)})
    assert is_update(update, DEVICE) is update
    with pytest.raises(FedlabError, match="weights is not on the CPU and detached"):
        is_update(update)
    with pytest.raises(FedlabError, match="not on the CPU or 'strict:0' and detached"):
        is_update(replace(update, weights=torch.ones(3, device="meta")), DEVICE)
