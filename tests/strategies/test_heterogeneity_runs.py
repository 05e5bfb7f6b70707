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
from fedlab.scenario import loads

SCENARIO = """
rounds = 3
seed = 5
[data]
name = "digits"
train_examples = 120
[data.partition]
name = "dirichlet"
clients = 6
alpha = 0.5
[model]
{model}
[client]
name = "{client}"
batch_size = 8
optimizer = {{lr = 0.1}}
{client_keys}
[strategy]
name = "{strategy}"
fraction_train = 0.7
{strategy_keys}
[engine]
name = "{engine}"
[evaluation]
test_examples = 50
"""
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
}
EACH = pytest.mark.parametrize("algorithm", ALGORITHMS)


def folder_of(path: Path, algorithm: str, engine: str = "inline", model: str = MLP) -> RunFolder:
    strategy, strategy_keys, client, client_keys = ALGORITHMS[algorithm]
    text = SCENARIO.format(
        model=model, client=client, client_keys=client_keys, strategy=strategy,
        strategy_keys=strategy_keys, engine=engine,
    )  # fmt: skip
    return RunFolder.create(path, "run", loads(text))


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
@pytest.mark.parametrize("model", [MLP, BATCH_NORM], ids=["stacked", "one by one"])
def test_stopped_and_resumed_it_reaches_the_same_bits(
    tmp_path: Path, algorithm: str, model: str
) -> None:
    whole = folder_of(tmp_path, algorithm, model=model)
    run(whole)
    for number in (0, 1, 2):
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
    engine = f'ray"\nworkers = {workers}\nvectorised = "auto'
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
def test_what_does_not_go_together_is_refused_before_the_first_round(
    strategy: str, client: str, said: str
) -> None:
    text = SCENARIO.format(
        model=MLP, client=client, client_keys="", strategy=strategy, strategy_keys="",
        engine="inline",
    )  # fmt: skip
    with pytest.raises(FedlabError) as refusal:
        Simulation(loads(text))
    assert said in str(refusal.value)


def test_what_needs_more_than_weights_cannot_be_wrapped() -> None:
    keys = "noise_multiplier = 0.1\nclipping_norm = 1.0\nnum_sampled_clients = 6\n"
    text = SCENARIO.replace("fraction_train = 0.7\n", "").format(
        model=MLP, client="supervised", client_keys="", strategy="dp-server-fixed-clipping",
        strategy_keys=keys + '[strategy.inner]\nname = "scaffold"', engine="inline",
    )  # fmt: skip
    with pytest.raises(FedlabError, match=r"strategy\.inner\.name: 'scaffold' counts on more"):
        Simulation(loads(text))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('name = "scaffold"\nclip_norm = 1.0', "clip_norm; leave it out"),
        ('name = "fednova"\noptimizer = {name = "adam"}', "take 'sgd'"),
        ('name = "mimelite"\noptimizer = {momentum = 0.5}', "set strategy.momentum"),
    ],
)
def test_steps_that_an_algorithm_cannot_account_for_are_refused(keys: str, said: str) -> None:
    text = SCENARIO.replace('[client]\nname = "{client}"', f"[client]\n{keys}")
    text = text.replace("optimizer = {{lr = 0.1}}\n", "")
    text = text.replace("{{", "{").replace("}}", "}")
    with pytest.raises(FedlabError, match=said):
        loads(
            text.replace("{client_keys}", "").replace("{strategy_keys}", "")
            .replace("{model}", MLP).replace("{strategy}", "fedavg").replace("{engine}", "inline")
        )  # fmt: skip


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
    text = SCENARIO.format(
        model=MLP, client="supervised", client_keys="", strategy="fedopt",
        strategy_keys=f"optimizer = {optimizer}", engine="inline",
    )  # fmt: skip
    with pytest.raises(FedlabError, match=said):
        loads(text)
