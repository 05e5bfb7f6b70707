"""Whole runs of distilling algorithms: resumed, and on ray, they end in the same bits."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlab.errors import FedlabError
from fedlab.results.own_parts import own_parts
from fedlab.results.reading import RunRecord
from fedlab.run.callbacks import Callback, RoundOutcome
from fedlab.run.display import round_line
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario, dumps, loads
from tests.shared import Changes, scenario_with

BASE = {
    "seed": 5,
    "data": {
        "train_examples": 200,
        "public": {"examples": 50},
        "partition": {"name": "dirichlet", "clients": 5, "alpha": 0.5},
    },
    "client": {"batch_size": 8, "optimizer": {"lr": 0.1}},
    "evaluation": {"test_examples": 50},
}
MLP = 'name = "mlp"\nhidden = [6]\ndropout = 0.1'
BATCH_NORM = 'name = "cnn"\nlayers = [{channels = 3, kernel_size = 3, batch_norm = true}]'
FEDDF = """
name = "feddf"
fraction_train = 0.7
distillation_steps = 5
distillation_batch_size = 16
"""
SUPERVISED = 'name = "supervised"'
# Two architectures; the fifth client, of the first one, is not in every cohort.
SEVERAL = f"""
{MLP}
personal = "all"
[[others]]
{BATCH_NORM}
"""
FEDMD_SERVER = """
name = "fedmd"
subset = 20
fraction_train = 0.8
"""
FEDMD_CLIENT = """
name = "fedmd"
public_epochs = 1
private_epochs = 2
public_batch_size = 16
"""
FEDGKT_SERVER = """
name = "fedgkt"
hidden = [8]
batch_size = 16
fraction_train = 0.8
"""
# Model, strategy and client.
ALGORITHMS = {
    "feddf, dropout": (MLP, FEDDF, SUPERVISED),
    "feddf, batch norm": (BATCH_NORM, FEDDF, SUPERVISED),
    "fedgkt": (f'{BATCH_NORM}\npersonal = "all"', FEDGKT_SERVER, 'name = "fedgkt"'),
    "fedmd": (SEVERAL, FEDMD_SERVER, FEDMD_CLIENT),
}
EACH = pytest.mark.parametrize("algorithm", ALGORITHMS)


class Stop(Exception):
    """The run is over before its end."""


class StopAfter(Callback):
    def __init__(self, number: int) -> None:
        self.number = number

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        if outcome.round == self.number:
            raise Stop


def scenario_of(
    model: str, strategy: str, client: str, engine: str = "", changes: Changes = ""
) -> Scenario:
    """Return the scenario; no weights of FedMD's can be tested on the server."""
    evaluation = {"evaluation": {"federated": "fedmd" in client}}
    tables = {"model": model, "strategy": strategy, "client": client, "engine": engine}
    texts = [{table: tomllib.loads(text)} for table, text in tables.items()]
    return scenario_with(BASE, evaluation, *texts, changes)


def folder_of(path: Path, algorithm: str, engine: str = "") -> RunFolder:
    scenario = scenario_of(*ALGORITHMS[algorithm], engine)
    return RunFolder.create(path, "distillation", scenario)


def outcome(folder: RunFolder) -> dict[str, bytes]:
    """Run a folder's scenario to its end; return its whole outcome, bit for bit."""
    rounds = run(folder)
    found = {"weights": rounds.weights.numpy().tobytes()}
    server: dict[str, Any] = rounds.strategy.state_dict()  # type: ignore[attr-defined]
    for name, value in server.items():
        parts = value if isinstance(value, dict) else {"": value}
        found |= {f"server {name} {n}": np.asarray(v).tobytes() for n, v in parts.items()}
    for client in range(len(rounds.engine.federation)):
        for record in rounds.engine.states.get(client).array_records.values():
            found |= {f"{client} {name}": a.numpy().tobytes() for name, a in record.items()}
    return found


@EACH
def test_stopped_and_resumed_it_reaches_the_same_bits(tmp_path: Path, algorithm: str) -> None:
    whole = outcome(folder_of(tmp_path, algorithm))
    for number in (1, 2):
        part = folder_of(tmp_path, algorithm)
        with pytest.raises(Stop):
            run(part, [StopAfter(number)])
        assert outcome(RunFolder.open(part.path)) == whole, number


@pytest.mark.parametrize(
    ("algorithm", "workers"),
    [
        ("feddf, batch norm", 2),
        ("fedmd", 2),
        ("fedgkt", 2),
        pytest.param("feddf, batch norm", 1, marks=pytest.mark.slow),
        pytest.param("fedmd", 1, marks=pytest.mark.slow),
    ],
)
def test_inline_and_ray_agree_bit_for_bit(tmp_path: Path, algorithm: str, workers: int) -> None:
    ray = folder_of(tmp_path, algorithm, f'name = "ray"\nworkers = {workers}')
    assert outcome(ray) == outcome(folder_of(tmp_path, algorithm))


def test_distillation_changes_the_mean_and_reports_how_far(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "feddf, dropout")
    averaged = scenario_of(MLP, 'name = "fedavg"\nfraction_train = 0.7', SUPERVISED)
    plain = RunFolder.create(tmp_path, "fedavg", averaged)
    assert outcome(folder)["weights"] != outcome(plain)["weights"]
    lines = list(folder.lines("metrics.jsonl"))
    assert all(len(line["strategy"]["divergence"]) == 2 for line in lines[1:])


def test_of_fedmd_only_scores_travel(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "fedmd")
    rounds = run(folder)
    assert rounds.weights.numel() == 0
    _, first, second, third = folder.lines("metrics.jsonl")
    # Four clients, twenty examples, ten classes, four bytes a number.
    assert [line["bytes_up"] for line in (first, second, third)] == [4 * 20 * 10 * 4] * 3
    # Each array has a header; five clients are evaluated, with weights of no length.
    header = 128
    assert first["bytes_down"] == 4 * (20 * 4 + 2 * header) + 5 * header
    later = 4 * ((20 + 20 + 20 * 10) * 4 + 4 * header) + 5 * header
    assert second["bytes_down"] == third["bytes_down"] == later
    assert first["clients"]["accuracy"] == first["clients"]["before_accuracy"]
    assert "digest_loss" in second["train"]
    assert "before collaboration" in round_line(third, 3)
    own = own_parts(RunRecord.load(folder.path))
    assert own is not None
    assert list(own.means) == ["personalised", "before collaboration"]


def test_other_architectures_are_written_with_their_keys() -> None:
    scenario: Any = scenario_of(*ALGORITHMS["fedmd"])
    assert scenario.model.others[0].layers[0].channels == 3
    assert loads(dumps(scenario)).model.model_dump() == scenario.model.model_dump()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"public": None}}, "add a table [data.public]"),
        ({"model": {"personal": "head"}}, "set model.personal = 'none'"),
        (
            {"data": {"name": "diabetes", "partition": {"name": "iid", "alpha": None}}},
            "the data set's task is regression",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes: Changes, said: str) -> None:
    with pytest.raises(FedlabError) as refused:
        Simulation(scenario_of(MLP, FEDDF, SUPERVISED, changes=changes))
    assert said in str(refused.value)


OTHER = tomllib.loads(BATCH_NORM)
FEDMD_KEYS = ("public_epochs", "private_epochs", "public_batch_size")


def others(*tables: dict[str, Any]) -> dict[str, Any]:
    return {"model": {"others": list(tables)}}


def layer(**keys: Any) -> dict[str, Any]:
    return {"name": "cnn", "layers": [{"kernel_size": 3, "batch_norm": True, **keys}]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model": {"personal": None}},
            "model: others: weights of different architectures have no mean",
        ),
        (others({"name": "mpl"}, OTHER), "mean 'mlp'"),
        (others(layer(chanels=3)), "Did you mean 'channels'"),
        (others({"name": "linear", "hidden": [3]}, OTHER), "Known here: name,"),
        (others({"name": "linear"}, {"personal": 3, **OTHER}), "model.others.1.personal"),
        (
            others(layer(channels=3, kernel_size=9)),
            "model.others.0.layers.0: its kernel_size 9",
        ),
        ({"evaluation": {"baselines": ["local"]}}, "several (model.others)"),
        ({"data": {"public": None}}, "add a table [data.public]"),
        (
            {"client": {"name": "fedproto", **dict.fromkeys(FEDMD_KEYS)}},
            "set client.name = 'fedmd'",
        ),
        ({"strategy": {"name": "fedavg", "subset": None}}, "set strategy.name = 'fedmd'"),
    ],
)
def test_what_several_architectures_cannot_do_is_refused(changes: Changes, said: str) -> None:
    with pytest.raises(FedlabError) as refused:
        Simulation(scenario_of(*ALGORITHMS["fedmd"], changes=changes))
    assert said in str(refused.value)
