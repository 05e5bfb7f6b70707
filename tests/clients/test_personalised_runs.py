"""Personalised runs: the same bits after a resume and on every engine; both ways of training."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlab.results.own_parts import own_parts
from fedlab.results.reading import RunRecord
from fedlab.run.baselines import run_baselines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from tests.shared import scenario_with
from tests.stopping import StopAfter

BASE = {
    "rounds": 2,
    "data": {
        "name": "iris",
        "validation": 0.0,
        "client_test": 0.3,
        "partition": {"name": "dirichlet", "clients": 5, "alpha": 1.0, "min_size": 5},
    },
    "model": {"hidden": [4]},
    "client": {"batch_size": 8, "epochs": 2, "optimizer": {"lr": 0.1, "momentum": 0.9}},
    "strategy": {"fraction_train": 0.7},
    "evaluation": {"federated": True, "baselines": ["local"]},
}
BATCH_NORM = 'batch_norm_layers = true\nbatch_norm = "local"'
ALGORITHMS = {
    "fine-tuning": "",
    "fedper": 'personal = "head"',
    "fedrep": 'personal = "head"',
    "lg-fedavg": 'personal = "body"',
    "fedbabu": 'personal = "head"',
    "fedbn": BATCH_NORM,
    "ditto": "",
    "apfl": "",
    "pfedme": "",
    "fedproto": 'personal = "all"',
}
SERVERS = {"pfedme": "pfedme", "fedproto": "fedproto"}


def made(folder: Path, client: str, engine: str = "", model: str = "") -> RunFolder:
    names = {"client": {"name": client}, "strategy": {"name": SERVERS.get(client, "fedavg")}}
    own = {"model": tomllib.loads(ALGORITHMS[client])}
    scenario = scenario_with(BASE, names, own, engine=engine, model=model)
    return RunFolder.create(folder, client, scenario)


def kept(rounds: Rounds) -> dict[str, Any]:
    """Return what the clients keep after a run, by client and name."""
    states = rounds.engine.states
    return {
        f"{client} {name}": array.numpy()
        for client in range(5)
        for record in states.get(client).array_records.values()
        for name, array in record.items()
    }


def outcome(folder: RunFolder, rounds: Rounds) -> dict[str, Any]:
    """Return the whole outcome of a run, bit for bit."""
    assert rounds.round == 2
    server = {n: np.asarray(v).tobytes() for n, v in rounds.strategy.state_dict().items()}  # type: ignore[attr-defined]
    told = [line["clients"] for line in folder.lines("metrics.jsonl") if "clients" in line]
    clients = {name: values.tobytes() for name, values in kept(rounds).items()}
    return {"weights": rounds.weights.numpy().tobytes(), "told": told, "server": server, **clients}


@pytest.mark.parametrize("client", ALGORITHMS)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, client: str) -> None:
    folder = made(tmp_path, client)
    whole = outcome(folder, run(folder))
    halves = made(tmp_path, client)
    assert run(halves, [StopAfter(1)]).status == "stopped"
    resumed = RunFolder.open(halves.path)
    assert outcome(resumed, run(resumed)) == whole
    last = whole["told"][-1]
    assert "global_accuracy" in last
    assert last["accuracy"]["mean"] > 0
    assert any(name[0] in "01234" for name in whole) == (client != "fine-tuning")


def check_parity(folder: Path, client: str, workers: int) -> None:
    inline, ray = made(folder, client), made(folder, client, f'name = "ray"\nworkers = {workers}')
    assert outcome(ray, run(ray)) == outcome(inline, run(inline))


def test_ray_and_inline_agree_bit_for_bit(tmp_path: Path) -> None:
    check_parity(tmp_path, "fedproto", 2)


@pytest.mark.slow
@pytest.mark.parametrize("client", ALGORITHMS)
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_and_inline_agree_bit_for_bit_for_all(
    tmp_path: Path, client: str, workers: int
) -> None:
    check_parity(tmp_path, client, workers)


def check_close(first: Rounds, second: Rounds) -> None:
    np.testing.assert_allclose(first.weights, second.weights, rtol=1e-4, atol=1e-5)
    states, others = kept(first), kept(second)
    assert states.keys() == others.keys()
    for name, values in states.items():
        np.testing.assert_allclose(values, others[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("client", ["fedper", "lg-fedavg", "fine-tuning"])
def test_stacked_clients_agree_with_the_plain_loop(tmp_path: Path, client: str) -> None:
    stacked = run(made(tmp_path, client))
    plain = run(made(tmp_path, client, "vectorised = false"))
    assert stacked.engine.stacking.decision.used
    assert not plain.engine.stacking.decision.used
    check_close(stacked, plain)


@pytest.mark.slow
@pytest.mark.parametrize("client", ["fedrep", "fedproto"])
def test_cached_features_change_nothing_but_rounding(tmp_path: Path, client: str) -> None:
    runs = []
    for cache in ('"auto"', "false"):
        folder = made(
            tmp_path,
            client,
            f'name = "ray"\nworkers = 1\nfeature_cache = {cache}',
            'hidden = [6, 4]\ntrainable = "last:1"',
        )
        runs.append(run(folder))
    cached, plain = runs
    assert cached.engine.features.used
    assert not plain.engine.features.used
    check_close(cached, plain)


class Silent:
    def baseline(self, name: str, line: dict[str, Any]) -> None:
        """Show nothing."""


def test_clients_alone_are_measured_on_their_own_test_parts(tmp_path: Path) -> None:
    lines = {}
    for client in ("fedper", "fine-tuning"):
        folder = made(tmp_path, client)
        run(folder)
        run_baselines(folder, [Silent()])
        lines[client] = list(folder.lines("baselines.jsonl"))
        assert len(lines[client]) == 5
    assert lines["fedper"] == lines["fine-tuning"]
    own = own_parts(RunRecord.load(folder.path))
    assert own is not None
    assert own.part == "test parts"
    assert list(own.means) == ["personalised", "global model", "each alone"]
    alone = np.mean([line["own"]["accuracy"] for line in lines["fedper"]])
    assert own.means["each alone"] == pytest.approx(alone)
