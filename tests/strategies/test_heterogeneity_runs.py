"""Algorithms against heterogeneity on every engine, and stopped and resumed: the same bits."""

import json
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.run.callbacks import Callback, RoundOutcome
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from tests.shared import scenario_with

BASE = {
    "seed": 5,
    "data": {
        "train_examples": 120,
        "partition": {"name": "dirichlet", "clients": 6, "alpha": 0.5},
    },
    "client": {"batch_size": 8, "optimizer": {"lr": 0.1}},
    "strategy": {"fraction_train": 0.7},
    "evaluation": {"test_examples": 50},
}
MLP = 'name = "mlp"\nhidden = [6]'
BATCH_NORM = 'name = "cnn"\nlayers = [{channels = 3, kernel_size = 3, batch_norm = true}]'
# Strategy and its keys, client and its keys.
ALGORITHMS = {
    "scaffold": ("scaffold", "", "scaffold", ""),
    "scaffold, option I": ("scaffold", 'weighting = "examples"', "scaffold", 'option = "I"'),
    "fednova": ("fednova", "server_momentum = 0.5\nproximal_mu = 0.1", "fednova", ""),
    "feddyn": ("feddyn", "", "feddyn", ""),
    "moon": ("fedavg", "", "moon", ""),
    "mimelite": ("mimelite", "", "mimelite", ""),
    "mimelite, Adam": ("mimelite", 'base_algorithm = "adam"', "mimelite", ""),
    "mimelite, Adagrad": ("mimelite", 'base_algorithm = "adagrad"', "mimelite", ""),
    "fedexp": ("fedexp", "", "supervised", ""),
    "fedopt": ("fedopt", 'optimizer = {name = "Adam"}', "supervised", ""),
    "fedprox": ("fedprox", "proximal_mu = 0.1", "fedprox", ""),
    "worker-momentum": ("fedavg", "", "worker-momentum", ""),
    "qat": ("fedavg", "", "qat", "bits = 4"),
    "heterofl": ("heterofl", "", "heterofl", "widths = [1.0, 0.5, 0.2]"),
    "fjord": ("fjord", "", "fjord", "widths = [1.0, 0.5, 0.2]"),
    "fedrolex": ("fedrolex", "", "heterofl", "widths = [0.5, 0.2]"),
}
EACH = pytest.mark.parametrize("algorithm", ALGORITHMS)


def folder_of(path: Path, algorithm: str, engine: str = "", model: str = MLP) -> RunFolder:
    strategy, strategy_keys, client, client_keys = ALGORITHMS[algorithm]
    names = {"strategy": {"name": strategy}, "client": {"name": client}}
    scenario = scenario_with(
        BASE, names, model=model, client=client_keys, strategy=strategy_keys, engine=engine
    )
    return RunFolder.create(path, "run", scenario)


def combined(strategy: str, client: str, keys: str = "") -> Scenario:
    names = {"strategy": {"name": strategy}, "client": {"name": client}}
    return scenario_with(BASE, names, model=MLP, strategy=keys)


def digest(folder: RunFolder) -> str:
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["status"] == "finished"
    found: str = summary["weights_sha256"]
    return found


class Stop(Exception):
    """The run is over before its end."""


class StopAfter(Callback):
    def __init__(self, number: int) -> None:
        self.number = number

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        if outcome.round == self.number:
            raise Stop


@EACH
@pytest.mark.parametrize(
    ("model", "stops"),
    [(MLP, (0, 1, 2)), (BATCH_NORM, (1,))],
    ids=["stacked", "one by one"],
)
def test_stopped_and_resumed_it_reaches_the_same_bits(
    tmp_path: Path, algorithm: str, model: str, stops: tuple[int, ...]
) -> None:
    whole = folder_of(tmp_path, algorithm, model=model)
    run(whole)
    for number in stops:
        part = folder_of(tmp_path, algorithm, model=model)
        with pytest.raises(Stop):
            run(part, [StopAfter(number)])
        run(RunFolder.open(part.path))
        assert digest(part) == digest(whole), number


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("model", [MLP, BATCH_NORM], ids=["stacked", "one by one"])
def test_inline_and_ray_agree_bit_for_bit(
    tmp_path: Path, algorithm: str, workers: int, model: str
) -> None:
    inline = folder_of(tmp_path, algorithm, model=model)
    run(inline)
    engine = f'name = "ray"\nworkers = {workers}\nvectorised = "auto"'
    ray = folder_of(tmp_path, algorithm, engine, model)
    run(ray)
    assert digest(ray) == digest(inline)


@pytest.mark.parametrize(
    ("strategy", "client", "said"),
    [
        ("fedmedian", "scaffold", "set strategy.name = 'scaffold'"),
        ("scaffold", "supervised", "set client.name = 'scaffold'"),
        ("fedavg", "fednova", "set strategy.name = 'fednova'"),
        ("feddyn", "fedprox", "set client.name = 'feddyn'"),
        ("mimelite", "supervised", "set client.name = 'mimelite'"),
        ("fedexp", "fednova", "set strategy.name = 'fednova'"),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_round(
    strategy: str, client: str, said: str
) -> None:
    with pytest.raises(FedlabError) as refusal:
        Simulation(combined(strategy, client))
    assert said in str(refusal.value)


def test_what_needs_more_than_weights_cannot_be_wrapped() -> None:
    wrapping = {
        "name": "dp-server-fixed-clipping",
        "noise_multiplier": 0.1,
        "clipping_norm": 1.0,
        "num_sampled_clients": 6,
        "inner": {"name": "scaffold"},
        "fraction_train": None,
    }
    with pytest.raises(FedlabError, match=r"strategy\.inner\.name: 'scaffold' counts on more"):
        Simulation(scenario_with(BASE, model=MLP, strategy=wrapping))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('name = "scaffold"\nclip_norm = 1.0', "clip_norm; leave it out"),
        ('name = "fednova"\noptimizer = {name = "adam"}', "take 'sgd'"),
        ('name = "mimelite"\noptimizer = {momentum = 0.5}', "set strategy.momentum"),
    ],
)
def test_steps_that_an_algorithm_cannot_account_for_are_refused(keys: str, said: str) -> None:
    with pytest.raises(FedlabError, match=said):
        scenario_with(BASE, {"client": {"optimizer": None}}, model=MLP, client=keys)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ('{name = "Adm"}', "Did you mean 'Adam'"),
        ('{name = "Adam", beta = 1}', "Did you mean 'betas'"),
        ('{name = "LBFGS"}', "cannot take a step"),
        ('{name = "Adam", betas = [2.0, 0.9]}', "cannot take a step"),
    ],
)
def test_a_server_optimiser_that_cannot_step_is_refused(optimizer: str, said: str) -> None:
    with pytest.raises(FedlabError, match=said):
        combined("fedopt", "supervised", f"optimizer = {optimizer}")
