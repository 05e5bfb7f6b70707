"""IFCA and FL+HC against their papers' steps, worked by hand; clusters in whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clients.supervised import Supervised
from fedlab.algorithm.client import ClientSettings
from fedlab.algorithm.vector_strategy import Reply
from fedlab.errors import FedlabError
from fedlab.models.layout import Entry, Layout
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.training.task import Assignment
from strategies.flhc import FlHc, FlHcSettings
from strategies.ifca import Ifca, IfcaSettings
from tests.shared import scenario_with

LAYOUT = Layout((Entry("w", (2,), 0), Entry("running_mean", (1,), 2)), 3, slice(0, 2), slice(0, 3))
SENT = np.array([1.0, -1.0, 0.5], np.float32)

BASE = {
    "seed": 3,
    "data": {
        "name": "rotated-digits",
        "train_examples": 400,
        "natural_clients": 8,
        "angles": 2,
        "partition": {"name": "natural", "clients": None},
    },
    "model": {"hidden": [16]},
    "client": {"epochs": 3, "batch_size": 8, "optimizer": {"lr": 0.1}},
    "evaluation": {"federated": True},
}


def reply(client: int, weights: list[float], weight: float = 1.0, cluster: int = 0) -> Reply:
    metrics = {"cluster": float(cluster)}
    return Reply(client, weight, np.array(weights, np.float32), {}, metrics)


def built(strategy: Any) -> Any:
    strategy.layout = LAYOUT
    return strategy


def test_ifca_averages_each_cluster_by_itself() -> None:
    ifca = built(Ifca(IfcaSettings(clusters=3)))
    ifca.models = [SENT.copy(), SENT * 2, SENT * 3]
    replies = [
        reply(2, [1, 0, 1], 1, 1),
        reply(3, [9, 9, 9], 5, 0),
        reply(4, [3, 4, 5], 3, 1),
    ]
    new = ifca.step(1, ifca.models[0], replies)
    np.testing.assert_allclose(ifca.models[0], [9, 9, 9])
    np.testing.assert_allclose(ifca.models[1], [2.5, 3, 4])
    np.testing.assert_allclose(ifca.models[2], SENT * 3)  # nobody chose it
    np.testing.assert_allclose(new, [2.5, 3, 4])  # two clients: the largest cluster
    assert ifca.record() == {"cluster_sizes": [1, 2, 0]}


def test_ifcas_first_models_differ_in_parameters_only() -> None:
    ifca = built(Ifca(IfcaSettings(clusters=2, spread=0.5)))
    np.random.seed(4)
    first, second = ifca._first_models(SENT)
    np.random.seed(4)
    np.testing.assert_array_equal(first, SENT)
    expected = SENT[:2] + 0.5 * SENT[:2].std() * np.random.normal(size=2)
    np.testing.assert_allclose(second[:2], expected, rtol=1e-6)
    assert second[2] == SENT[2]


def test_flhc_clusters_updates_once_and_averages_within() -> None:
    strategy = built(FlHc(FlHcSettings(warm_up=1, clusters=2)))
    warm = [reply(2, [1, 1, 1], 1), reply(3, [5, 5, 5], 3)]
    np.testing.assert_allclose(strategy.step(1, SENT, warm), [4, 4, 4])
    assert strategy.record() == {}
    # Updates: (1, 0), (−1, 0), (1.2, 0), (1, 0.2); statistics, the last value, do not count.
    replies = [
        reply(2, [2, -1, 9], 1),
        reply(3, [0, -1, 9], 1),
        reply(4, [2.2, -1, 0], 3),
        reply(5, [2, -0.8, 4], 4),
    ]
    new = strategy.step(2, SENT, replies)
    assert strategy.members == {"2": 0, "3": 1, "4": 0, "5": 0}
    np.testing.assert_allclose(new, [(2 + 6.6 + 8) / 8, (-1 - 3 - 3.2) / 8, 25 / 8], rtol=1e-6)
    np.testing.assert_allclose(strategy.models[1], [0, -1, 9])
    # Later updates, however alike, change no cluster.
    strategy.step(3, SENT, [reply(2, [7, 7, 7]), reply(3, [8, 8, 8])])
    np.testing.assert_allclose(strategy.models, [[7, 7, 7], [8, 8, 8]])


def test_flhc_merges_up_to_a_threshold() -> None:
    keys = {"distance": "cosine", "linkage": "average"}
    strategy = built(FlHc(FlHcSettings(warm_up=0, threshold=0.5, **keys)))
    # By direction, not length: (1, 0) and (5, 0) are one, (0, 2) and (0, 1) another.
    strategy.step(
        1,
        np.zeros(3),
        [reply(2 + i, [*w, 0]) for i, w in enumerate([(1, 0), (0, 2), (5, 0), (0, 1)])],
    )
    assert strategy.members == {"2": 0, "3": 1, "4": 0, "5": 1}


def started(folder: Path, client: str, strategy: str, keys: str) -> tuple[RunFolder, Any]:
    names = {"client": {"name": client}, "strategy": {"name": strategy}}
    scenario = scenario_with(BASE, names, strategy=keys)
    run_folder = RunFolder.create(folder, "clusters", scenario)
    return run_folder, run(run_folder)


@pytest.mark.parametrize(
    ("client", "strategy", "keys"),
    [
        ("ifca", "ifca", "clusters = 2\nspread = 1.0"),
        ("supervised", "fl+hc", "warm_up = 1\nclusters = 2"),
    ],
)
def test_clients_are_evaluated_with_their_own_clusters_model(
    tmp_path: Path, client: str, strategy: str, keys: str
) -> None:
    folder, rounds = started(tmp_path, client, strategy, keys)
    state = rounds.strategy
    assert sum(state.sizes) == 8
    np.testing.assert_array_equal(rounds.weights.numpy(), state.models[state.largest])
    own = {
        line["client"]: line["accuracy"]
        for line in folder.lines("clients.jsonl")
        if line["round"] == 3 and line["phase"] == "evaluate"
    }
    worker = rounds.engine._runner.worker
    for number, accuracy in own.items():
        wires = [torch.from_numpy(np.array(model)) for model in state.models]
        supervised = Supervised(ClientSettings(name="supervised"))
        scores = []
        for wire in wires:
            task = worker._task(Assignment(number, 3, wire), *worker.federation.examples(number))
            scores.append(supervised.evaluate(task)["accuracy"])
        assert accuracy in [pytest.approx(score) for score in scores]
        if strategy == "fl+hc":
            assert accuracy == pytest.approx(scores[state.members[str(number + 2)]])


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match=r"client\.name = 'ifca'"):
        started(tmp_path, "supervised", "ifca", "")
    with pytest.raises(FedlabError, match=r"strategy\.name = 'ifca'"):
        started(tmp_path, "ifca", "fedavg", "")
    with pytest.raises(FedlabError, match="either clusters or threshold"):
        started(tmp_path, "supervised", "fl+hc", "")
    with pytest.raises(FedlabError, match="goes with distance = 'euclidean'"):
        started(tmp_path, "supervised", "fl+hc", "clusters = 2\ndistance = 'cosine'")
