"""Whole runs under attack: the same bits on every engine and after a resume; what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario.parts import adversary_of
from tests.shared import scenario_with
from tests.stopping import StopAfter

BASE = {
    "seed": 3,
    "data": {"partition": {"clients": 6}},
    "model": {"hidden": [8]},
    "client": {"steps": 4, "optimizer": {"lr": 0.2}},
    "evaluation": {"test_examples": 60},
}
WHO = "clients = [1, 4]"
ATTACKS = {
    "label-flip": "",
    "sign-flip": "",
    "gaussian-noise": "deviation = 0.1",
    "bit-flip": "bits = [22, 32]",
    "free-rider": "noise = 0.01",
    "backdoor": "boost = 2.0",
    "alie": 'knowledge = "all"\nz = 2.0',
    "ipm": "epsilon = 2.0",
    "mimic": "warmup = 2",
    "min-max": "",
}


def scenario(
    attack: str, changes: str = "", engine: str = "", who: str = WHO, data: str = "digits"
) -> Any:
    keys = f'name = "{attack}"\n{who}\n{ATTACKS.get(attack, "")}'
    return scenario_with(BASE, changes, {"data": {"name": data}}, attack=keys, engine=engine)


def finished(folder: RunFolder, *callbacks: Callback) -> str:
    run(folder, callbacks)
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


def outcome(parent: Path, attack: str, **options: str) -> str:
    return finished(RunFolder.create(parent, "attacked", scenario(attack, **options)))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_resumed_attack_ends_in_the_same_bits_unlike_no_attack(
    tmp_path: Path, attack: str
) -> None:
    whole = outcome(tmp_path, attack)
    stopped = RunFolder.create(tmp_path, "stopped", scenario(attack))
    finished(stopped, StopAfter(2))
    assert finished(RunFolder.open(stopped.path)) == whole
    assert outcome(tmp_path, attack, who=f"{WHO}\nstart = 9") != whole


FAST = {("free-rider", 2), ("mimic", 2)}


@pytest.mark.parametrize(
    ("attack", "workers"),
    [
        pytest.param(name, workers, marks=() if (name, workers) in FAST else pytest.mark.slow)
        for name in ATTACKS
        for workers in (1, 2)
    ],
)
def test_ray_ends_in_the_same_bits(tmp_path: Path, attack: str, workers: int) -> None:
    inline = outcome(tmp_path, attack)
    assert outcome(tmp_path, attack, engine=f'name = "ray"\nworkers = {workers}') == inline


@pytest.mark.parametrize("attack", ["label-flip", "sign-flip", "backdoor", "free-rider"])
def test_stacked_clients_attack_as_those_trained_one_by_one(attack: str) -> None:
    ends = []
    for vectorised in ('"auto"', "false"):
        engine = f"vectorised = {vectorised}"
        with Simulation(scenario(attack, engine=engine)) as simulation:
            rounds = simulation.rounds()
            rounds.run()
            assert simulation.engine.stacking.decision.used == (vectorised == '"auto"')
            ends.append(rounds.weights)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)


def test_the_malicious_clients_are_drawn_by_seed_and_recorded(tmp_path: Path) -> None:
    asked = scenario("sign-flip", who="fraction = 0.34")
    folder = RunFolder.create(tmp_path, "who", asked)
    run(folder)
    recorded = json.loads((folder.path / "attack.json").read_text())
    drawn: Any = adversary_of(asked, 6)
    assert recorded == {"attack": "sign-flip", "clients": list(drawn.clients)}
    assert len(drawn.clients) == 2
    others = {
        adversary_of(asked.model_copy(update={"seed": seed}), 6).clients  # type: ignore[union-attr]
        for seed in range(20)
    }
    assert len(others) > 5


def test_a_backdoors_success_is_the_part_of_pictures_it_misleads() -> None:
    with Simulation(scenario("backdoor")) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        reported = simulation.engine.evaluate(rounds.weights).compute()["attack_success"]
        network, test = simulation.network, simulation.federation.dataset.test
        network.model.reset(rounds.weights)
        others = test.take(torch.nonzero(test.targets != 0).flatten())
        marked = others.inputs.float() / 255
        marked[:, :, -3:, -3:] = 1.0
        network.model.module.eval()
        with torch.no_grad():
            predicted = network.model.module(marked).argmax(1)
    assert reported > 0
    assert reported == pytest.approx((predicted == 0).double().mean().item())


def test_other_attacks_report_no_such_success(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "flip", scenario("sign-flip"))
    run(folder)
    assert "attack_success" not in list(folder.lines("metrics.jsonl"))[-1]["test"]


REFUSED = {
    "say who is malicious: set either fraction or clients": {"who": ""},
    "stop = 2 comes before start = 3": {"who": f"{WHO}\nstart = 3\nstop = 2"},
    "attack.clients: there is no client 6": {"who": "clients = [6]"},
    "one at least must be benign": {"who": "clients = [0, 1, 2, 3, 4, 5]"},
    "attack.name: 'backdoor' puts a trigger into pictures": {"data": "wine", "attack": "backdoor"},
    "attack.name: 'label-flip' needs a classification task": {
        "data": "diabetes",
        "attack": "label-flip",
    },
    "attack.target: there is no class 10": {
        "attack": "label-flip",
        "who": f"{WHO}\nsource = 1\ntarget = 10",
    },
    "attack.name: unknown attack 'label-flop'. Did you mean 'label-flip'?": {
        "attack": "label-flop"
    },
}


@pytest.mark.parametrize(("sentence", "options"), REFUSED.items())
def test_what_does_not_go_together_is_refused(sentence: str, options: dict[str, str]) -> None:
    with pytest.raises(FedlabError) as refused:
        Simulation(scenario(**({"attack": "sign-flip"} | options)))
    assert sentence in str(refused.value)


FEDNOVA = 'strategy.name = "fednova"\nclient.name = "fednova"'
PAIRS = [
    ("sign-flip", FEDNOVA, "take 'label-flip'"),
    ("min-max", FEDNOVA, "take 'label-flip'"),
    (
        "gaussian-noise",
        'strategy.name = "fedproto"\nclient.name = "fedproto"\nmodel.personal = "all"',
        "and none travel here",
    ),
    ("alie", 'strategy.name = "ifca"\nclient.name = "ifca"', "such as 'sign-flip'"),
    ("mimic", 'strategy = {name = "fl+hc", clusters = 2}', "such as 'sign-flip'"),
]


@pytest.mark.parametrize(("attack", "changes", "said"), PAIRS)
def test_an_attack_is_refused_where_it_would_change_other_things(
    attack: str, changes: str, said: str
) -> None:
    with pytest.raises(FedlabError, match=said):
        Simulation(scenario(attack, changes))
    # Poisoned data are poisoned for any algorithm.
    Simulation(scenario("label-flip", changes))
