"""A run of several phases: what each trains, what it begins from, and what carries over."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fedlab.algorithm.processing import (
    Payload,
    ProcessorSettings,
    Received,
    Scalar,
    UpdateProcessor,
)
from fedlab.errors import FedlabError
from fedlab.models.network import Network
from fedlab.run.baselines import run_baselines
from fedlab.run.crossval import cross_validate
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation, assemble
from fedlab.scenario import Scenario
from fedlab.scenario.parts import network_of
from fedlab.scenario.phases import phases_of
from tests.shared import scenario_with
from tests.stopping import StopAfter

CNN = """
rounds = 3
[model]
name = "cnn"
dropout = 0.1
layers = [{ channels = 4, batch_norm = true }, { channels = 8, batch_norm = true }]
[data]
train_examples = 200
[client]
batch_size = 16
[client.optimizer]
lr = 0.05
[evaluation]
test_examples = 50
"""
HEAD_THEN_ALL = """
[[phases]]
name = "head"
rounds = 1
trainable = "head"
client = { epochs = 2, optimizer = { name = "adamw", lr = 0.01 } }
[[phases]]
name = "all"
rounds = 2
batch_norm = "frozen"
"""


class Growing(UpdateProcessor):
    """Multiplies updates by the number of rounds that the server has begun."""

    def __init__(self, settings: ProcessorSettings) -> None:
        super().__init__(settings)
        self.begun = 0

    def begin_round(self, server_round: int) -> dict[str, Scalar]:
        self.begun += 1
        return {"factor": float(self.begun)}

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        return Payload(update * received.values["factor"])

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        return payload.values


def phased(phases: str, **keys: Any) -> Scenario:
    return scenario_with(CNN, phases, **keys)


def finished(folder: Path, scenario: Scenario) -> dict[str, torch.Tensor]:
    made = RunFolder.create(folder, "run", scenario)
    run(made)
    return load_file(made.path / "model.safetensors")


def digest(folder: RunFolder) -> str:
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


def initial(scenario: Scenario) -> dict[str, torch.Tensor]:
    module = assemble(scenario).network.model.module
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, t in after.items() if not torch.equal(t, before[n]) and t.is_floating_point()}


def test_each_phase_trains_what_it_names_from_where_the_one_before_ended(tmp_path: Path) -> None:
    scenario = phased(HEAD_THEN_ALL)
    start = initial(scenario)
    head = finished(
        tmp_path / "head",
        scenario_with(
            CNN,
            'rounds = 1\nmodel.trainable = "head"\nclient.epochs = 2\n'
            'client.optimizer = { name = "adamw", lr = 0.01 }',
        ),
    )
    assert changed(start, head) == {"head.weight", "head.bias"}
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder, [StopAfter(1)])
    assert changed(head, load_file(folder.path / "model.safetensors")) == set()
    run(folder)
    after = load_file(folder.path / "model.safetensors")
    parameters = {name for name, _ in assemble(scenario).network.model.module.named_parameters()}
    assert changed(head, after) == parameters
    lines = list(folder.lines("metrics.jsonl"))
    assert [line.get("phase") for line in lines] == [None, "head", "all", "all"]


@pytest.mark.parametrize("stopped_after", [0, 1, 2])
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, stopped_after: int) -> None:
    scenario = phased(HEAD_THEN_ALL, strategy={"name": "fedadam"})
    whole = RunFolder.create(tmp_path, "whole", scenario)
    run(whole)
    parts = RunFolder.create(tmp_path, "parts", scenario)
    run(parts, [StopAfter(stopped_after)])
    assert digest(parts) != digest(whole)
    run(parts)
    assert digest(parts) == digest(whole)


def test_ray_ends_in_the_bits_of_one_process(tmp_path: Path) -> None:
    here = RunFolder.create(tmp_path, "inline", phased(HEAD_THEN_ALL))
    run(here)
    there = phased(HEAD_THEN_ALL, engine={"name": "ray", "workers": 2})
    on_ray = RunFolder.create(tmp_path, "ray", there)
    run(on_ray)
    assert digest(on_ray) == digest(here)


@pytest.mark.parametrize(
    "keys",
    [
        {"strategy": {"name": "fedavgm"}},
        {"client": {"name": "scaffold"}, "strategy": {"name": "scaffold"}},
        {
            "client": {"name": "scaffold"},
            "strategy": {"name": "scaffold"},
            "evaluation": {"federated": True},
        },
        {"client": {"name": "moon"}, "strategy": {"name": "fedmedian"}},
        {"updates": [{"name": f"{__name__}:Growing"}]},
    ],
    ids=[
        *("server momentum", "control variates", "evaluated on clients", "no sums"),
        "update processor",
    ],
)
def test_phases_that_train_the_same_keep_strategy_and_client_states(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    one = RunFolder.create(tmp_path, "one", phased("", **keys))
    run(one)
    same = phased("[[phases]]\nrounds = 2\n[[phases]]\nrounds = 1", **keys)
    two = RunFolder.create(tmp_path, "two", same)
    run(two)
    assert digest(two) == digest(one)


@pytest.mark.parametrize("stopped_after", [0, 2])
def test_colluding_clients_learn_anew_where_other_weights_travel(
    tmp_path: Path, stopped_after: int
) -> None:
    attack = {"name": "mimic", "fraction": 0.3, "warmup": 3}
    scenario = phased(HEAD_THEN_ALL, attack=attack, strategy={"name": "rfa"})
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder, [StopAfter(stopped_after)])
    run(folder)
    state = folder.latest().strategy["attack"]  # type: ignore[union-attr]
    assert state["rounds"] == 2
    weights = assemble(phases_of(scenario)[1]).network.model.layout.wire_parameters
    assert state["direction"].shape == (weights,)


def test_a_schedule_spans_its_phase(tmp_path: Path) -> None:
    schedule = 'client.schedule = { name = "step", every = 1, gamma = 0.1 }'
    phases = "[[phases]]\nrounds = 1\n" * 3
    scenarios = {
        "constant": phased(phases),
        "step": scenario_with(CNN, schedule),
        "each": scenario_with(CNN, schedule, phases),
    }
    runs = {}
    for name, scenario in scenarios.items():
        runs[name] = RunFolder.create(tmp_path, name, scenario)
        run(runs[name])
    assert digest(runs["each"]) == digest(runs["constant"])
    assert digest(runs["each"]) != digest(runs["step"])


def test_what_an_earlier_phase_trained_stays_when_a_later_one_freezes_it(tmp_path: Path) -> None:
    body_then_head = """
    [[phases]]
    rounds = 1
    trainable = ["stages.0.*"]
    [[phases]]
    rounds = 2
    trainable = "head"
    """
    names = [n for n, _ in assemble(phased("")).network.model.module.named_parameters()]
    first = sorted({name.rsplit(".", 1)[0] for name in names})[0]
    scenario = phased(body_then_head.replace("stages.0.*", f"{first}.*"))
    start = initial(scenario)
    folder = RunFolder.create(tmp_path, "run", scenario)
    run(folder, [StopAfter(1)])
    middle = load_file(folder.path / "model.safetensors")
    assert any(name.startswith(first) for name in changed(start, middle))
    run(folder)
    after = load_file(folder.path / "model.safetensors")
    assert changed(middle, after) == {"head.weight", "head.bias"}


def test_features_are_cached_only_of_what_no_phase_has_trained() -> None:
    pictures = scenario_with(
        CNN,
        """
        [[phases]]
        rounds = 2
        trainable = "head"
        batch_norm = "frozen"
        [[phases]]
        rounds = 1
        [[phases]]
        rounds = 2
        trainable = "head"
        batch_norm = "frozen"
        """,
        rounds=5,
        model={"dropout": 0.0},
        client={"epochs": 5},
    )
    with Simulation(pictures) as simulation:
        assert simulation.engine.features.used
        wire = simulation.initial_weights
        for number in (1, 2):
            wire = simulation.enter(number, wire + 0.001)
            assert not simulation.engine.features.used


def test_a_personal_part_needs_phases_that_train_the_same() -> None:
    with pytest.raises(FedlabError, match=r"phases: where part of the model stays on its client"):
        assemble(
            phased(
                HEAD_THEN_ALL.replace('"head"\nclient', '"last:1"\nclient'),
                model={"personal": "head", "batch_norm": "frozen"},
                client={"name": "fedper"},
            )
        )


def test_putting_phases_together_holds_the_network_of_the_first_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[weakref.ref[Network]] = []
    alive: list[int] = []

    def counted(*arguments: Any) -> Network:
        alive.append(sum(network() is not None for network in made))
        network = network_of(*arguments)
        made.append(weakref.ref(network))
        return network

    monkeypatch.setattr("fedlab.run.simulation.network_of", counted)
    assemble(phased("[[phases]]\nrounds = 1\n" * 3))
    assert alive == [0, 1, 1]


def test_a_problem_says_in_which_phase_it_is() -> None:
    with pytest.raises(FedlabError, match=r"phases\.1 \('all'\): model\.trainable: 'last:9'"):
        assemble(phased(HEAD_THEN_ALL.replace('batch_norm = "frozen"', 'trainable = "last:9"')))


def test_baselines_go_through_the_same_phases(tmp_path: Path) -> None:
    scenario = phased(
        HEAD_THEN_ALL, evaluation={"baselines": ["centralised", "local"], "federated": True}
    )
    folder = RunFolder.create(tmp_path, "run", scenario)

    class Silent:
        def baseline(self, name: str, line: dict[str, Any]) -> None:
            """Show nothing."""

    run_baselines(folder, [Silent()])  # type: ignore[list-item]
    lines = list(folder.lines("baselines.jsonl"))
    assert [x["round"] for x in lines if x["baseline"] == "centralised"] == [0, 1, 2, 3]
    assert [x["client"] for x in lines if x["baseline"] == "local"] == [0, 1, 2]


def test_one_client_alone_is_the_federation_of_that_client(tmp_path: Path) -> None:
    """A federation of one client, a round a phase, is that client trained alone."""
    single = phased(
        HEAD_THEN_ALL.replace("rounds = 2", "rounds = 1"),
        rounds=2,
        data={"partition": {"clients": 1}},
        evaluation={"baselines": ["local"]},
    )
    folder = RunFolder.create(tmp_path, "run", single)
    run(folder)

    class Silent:
        def baseline(self, name: str, line: dict[str, Any]) -> None:
            """Show nothing."""

    run_baselines(folder, [Silent()])  # type: ignore[list-item]
    (alone,) = folder.lines("baselines.jsonl")
    federated = list(folder.lines("metrics.jsonl"))[-1]
    assert alone["test"] == federated["test"]


def test_the_best_round_of_an_earlier_phase_is_put_back(tmp_path: Path) -> None:
    spoiled = """
    [[phases]]
    rounds = 1
    client = { epochs = 5 }
    [[phases]]
    rounds = 2
    trainable = "head"
    client = { clip_norm = 1.0, optimizer = { lr = 10.0 } }
    """
    stopping = {"on": "validation", "patience": 3, "restore_best": True}
    evaluation = {"federated": True, "early_stopping": stopping}
    folder = RunFolder.create(tmp_path, "run", phased(spoiled, evaluation=evaluation))
    run(folder, [StopAfter(1)])
    first = load_file(folder.path / "model.safetensors")
    run(folder)
    assert json.loads((folder.path / "summary.json").read_text())["rounds"] == 3
    for name in ("best.safetensors", "model.safetensors"):
        assert changed(first, load_file(folder.path / name)) == set()


NOTHING_IMPROVES = {"metric": "loss", "minimum_change": 100.0, "patience": 1}
THREE_AND_FOUR = '[[phases]]\nrounds = 3\ntrainable = "head"\n[[phases]]\nrounds = 4\n'


@pytest.mark.parametrize("stops", [(), (1,), (3,), (4,), (2, 3, 4)])
def test_only_the_last_phase_stops_early_also_after_a_resume(
    tmp_path: Path, stops: tuple[int, ...]
) -> None:
    evaluation = {"early_stopping": NOTHING_IMPROVES}
    folder = RunFolder.create(
        tmp_path, "run", phased(THREE_AND_FOUR, rounds=None, evaluation=evaluation)
    )
    for last in stops:
        assert run(folder, [StopAfter(last)]).round == last
    rounds = run(folder)
    assert (rounds.status, rounds.round) == ("stopped", 5)
    assert rounds.reason == "loss has not improved for 1"


def test_a_run_whose_earlier_phase_was_watched_goes_on_in_its_last_phase(tmp_path: Path) -> None:
    evaluation = {"early_stopping": NOTHING_IMPROVES}
    folder = RunFolder.create(
        tmp_path, "run", phased(THREE_AND_FOUR, rounds=None, evaluation=evaluation)
    )
    run(folder, [StopAfter(3)])
    (path,) = (folder.checkpoints / "round-00003").glob("*.json")
    content = json.loads(path.read_text())
    content["extra"]["early_stopping"] = {"metric": "loss", "best": 2.0, "waited": 2}
    path.write_text(json.dumps(content))
    assert run(folder).round == 5


def test_classes_are_weighed_in_a_phase_alone(tmp_path: Path) -> None:
    phases = "[[phases]]\nrounds = 1\n[[phases]]\nrounds = 2\n"
    plain = finished(tmp_path / "plain", phased(phases))
    weighed = phased(phases + 'client = { class_weights = "balanced" }')
    assert changed(plain, finished(tmp_path / "weighed", weighed))


def test_cross_validation_of_phases_is_refused() -> None:
    with pytest.raises(FedlabError, match="phases: cross-validation looks for"):
        cross_validate(phased(HEAD_THEN_ALL), 3)


@pytest.mark.slow
def test_flowers_simulation_goes_through_the_phases(tmp_path: Path) -> None:
    keys = {"client": {"name": "scaffold"}, "strategy": {"name": "scaffold"}}
    scaffold = HEAD_THEN_ALL.replace('name = "adamw", ', "")
    here = finished(tmp_path / "inline", phased(scaffold, **keys))
    there = finished(tmp_path / "flower", phased(scaffold, **keys, engine={"name": "flower"}))
    for name, tensor in here.items():
        torch.testing.assert_close(there[name], tensor, rtol=1e-4, atol=1e-5)
