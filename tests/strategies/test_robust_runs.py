"""Whole runs of the robust aggregators: resumed, and on ray, they end in the same bits."""

import json
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from tests.shared import scenario_with
from tests.stopping import StopAfter

BASE = {
    "seed": 3,
    "data": {
        "train_examples": 400,
        "partition": {"name": "dirichlet", "clients": 7, "alpha": 1.0},
    },
    "model": {"hidden": [8]},
    "client": {"batch_size": 16, "optimizer": {"lr": 0.1}},
    "evaluation": {"test_examples": 50},
}
AGGREGATORS = {
    "rfa": 'name = "rfa"\nfraction_train = 0.8',
    "centred clipping": 'name = "centred-clipping"\nradius = 0.5',
    "norm bounding": 'name = "norm-bounding"\nbound = 0.3\nnoise = 0.01',
    "dnc": 'name = "dnc"\nnum_malicious_nodes = 1\nsubsample = 100',
    "fltrust": 'name = "fltrust"\nroot_examples = 50',
    "bucketing": 'name = "bucketing"\n[inner]\nname = "centred-clipping"\nradius = 0.5',
}


def finished(folder: RunFolder, *callbacks: Callback) -> str:
    run(folder, callbacks)
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


def outcome(parent: Path, strategy: str, engine: str = "") -> str:
    scenario = scenario_with(BASE, strategy=strategy, engine=engine)
    return finished(RunFolder.create(parent, "robust", scenario))


@pytest.mark.parametrize("strategy", AGGREGATORS.values(), ids=AGGREGATORS)
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, strategy: str) -> None:
    whole = outcome(tmp_path, strategy)
    stopped = RunFolder.create(tmp_path, "stopped", scenario_with(BASE, strategy=strategy))
    assert finished(stopped, StopAfter(2)) != whole
    assert finished(RunFolder.open(stopped.path)) == whole


@pytest.mark.parametrize(
    ("strategy", "workers"),
    [
        pytest.param(
            keys,
            workers,
            id=f"{name} {workers}",
            marks=() if (name, workers) == ("fltrust", 2) else pytest.mark.slow,
        )
        for name, keys in AGGREGATORS.items()
        for workers in (1, 2)
    ],
)
def test_ray_ends_in_the_same_bits(tmp_path: Path, strategy: str, workers: int) -> None:
    inline = outcome(tmp_path, strategy)
    assert outcome(tmp_path, strategy, f'name = "ray"\nworkers = {workers}') == inline


def test_the_servers_root_data_are_nobody_elses() -> None:
    with Simulation(scenario_with(BASE, strategy=AGGREGATORS["fltrust"])) as simulation:
        federation = simulation.federation
        root = set(federation.rows(len(federation))[0].tolist())
        assert len(root) == 50
        assert federation.part_sizes(len(federation)) == (50, 0, 0)
        held = [row for c in range(len(federation)) for row in federation.partition.rows(c)]
        assert len(held) == 350
        assert not root & set(held)


REFUSED = {
    "strategy.inner.name = 'fedavg' takes a mean": 'name = "bucketing"\n[inner]\nname = "fedavg"',
    "'fl+hc' has several global models, and 'bucketing' knows of one": 'name = "bucketing"\n'
    '[inner]\nname = "fl+hc"\nclusters = 2',
    "withstands 2 malicious clients in a set of buckets of 7 or more, and the set of buckets has "
    "4": 'name = "bucketing"\n[inner]\nname = "krum"\nnum_malicious_nodes = 2',
    "withstands 4 malicious clients in a cohort of 9": 'name = "dnc"\nnum_malicious_nodes = 4',
    "cannot keep 400 of 400": 'name = "fltrust"\nroot_examples = 400',
    "strategy.inner.radius: it must be above 0": 'name = "bucketing"\n[inner]\n'
    'name = "centred-clipping"\nradius = 0.0',
    "strategy.inner.radios: there is no such key. Did you mean 'radius'?": 'name = "bucketing"\n'
    '[inner]\nname = "centred-clipping"\nradios = 1.0',
    "strategy.inner.name: unknown strategy 'rfaa'. Did you mean 'rfa'?": 'name = "bucketing"\n'
    '[inner]\nname = "rfaa"',
}


@pytest.mark.parametrize(("sentence", "strategy"), REFUSED.items())
def test_what_does_not_go_together_is_refused(sentence: str, strategy: str) -> None:
    with pytest.raises(FedlabError) as refused:
        Simulation(scenario_with(BASE, strategy=strategy))
    assert sentence in str(refused.value)


def test_root_data_are_refused_where_every_node_is_a_client() -> None:
    scenario = scenario_with(BASE, strategy=AGGREGATORS["fltrust"], engine='name = "flower"')
    with pytest.raises(FedlabError, match=r"strategy 'fltrust' trains on the server's own data"):
        Simulation(scenario)
