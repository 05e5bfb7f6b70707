"""Gradual pruning: the paper's schedule, the smallest weights of all matrices, and whole runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import loads
from strategies.gradual_pruning import GradualPruning, GradualPruningSettings
from tests.stopping import StopAfter

SCENARIO = """
rounds = 4
seed = 2
[data]
name = "digits"
[data.partition]
name = "iid"
clients = 4
[model]
name = "cnn"
layers = [{ channels = 4, kernel_size = 3, batch_norm = true, pooling = "max" }]
hidden = []
[client]
steps = 3
[client.optimizer]
lr = 0.1
[strategy]
name = "gradual-pruning"
sparsity = 0.7
last = 3
[strategy.inner]
name = "INNER"
[evaluation]
test_examples = 60
[engine]
name = "ENGINE"
"""


def text_of(inner: str = "fedavgm", engine: str = "inline") -> str:
    return SCENARIO.replace("INNER", inner).replace("ENGINE", engine)


def finished(folder: RunFolder, *callbacks: Callback) -> str:
    run(folder, callbacks)
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


def test_the_schedule_is_equation_one() -> None:
    settings = GradualPruningSettings(name="gradual-pruning", sparsity=0.9, first=2, last=12)
    strategy = GradualPruning.from_settings(settings)
    for t in range(2, 13):
        expected = 0.9 + (0 - 0.9) * (1 - (t - 2) / 10) ** 3
        assert strategy.scheduled(t) == pytest.approx(expected)
    assert strategy.scheduled(1) == 0
    assert strategy.scheduled(40) == 0.9


@pytest.mark.parametrize("inner", ["fedavg", "fedmedian"])
def test_a_fraction_of_all_matrices_is_zero_and_nothing_else(inner: str) -> None:
    """Batch norm's statistics and scales stay, and so do biases."""
    with Simulation(loads(text_of(inner))) as simulation:
        rounds = simulation.rounds()
        layout = simulation.network.model.layout
        rounds.run()
        views = layout.wire_views(rounds.weights)
        head = simulation.network.head
    below = {name: view for name, view in views.items() if not name.startswith(head)}
    matrices = [view for view in below.values() if view.ndim > 1]
    assert len(below) < len(views)
    assert all((view != 0).all() for name, view in views.items() if name not in below)
    zeros = sum(int((view == 0).sum()) for view in matrices)
    assert zeros == round(0.7 * sum(view.numel() for view in matrices))
    assert all((view != 0).any() for view in views.values())


def test_pruning_keeps_the_largest_of_a_vector() -> None:
    with Simulation(loads(text_of())) as simulation:
        strategy: object = simulation.strategy
        while not isinstance(strategy, GradualPruning):
            strategy = strategy.strategy  # type: ignore[attr-defined]
        layout = simulation.network.model.layout
        vector = np.random.default_rng(1).normal(size=layout.wire_parameters).astype(np.float32)
        strategy.sparsity = 0.5
        found = strategy._pruned(vector)
        where = np.zeros(len(vector), bool)
        for entry in layout.entries:
            is_matrix = entry.start < layout.wire_parameters and len(entry.shape) > 1
            if is_matrix and not entry.name.startswith(simulation.network.head):
                where[entry.start : entry.stop] = True
        threshold = np.sort(np.abs(vector[where]))[round(0.5 * where.sum())]
        expected = np.where(where & (np.abs(vector) < threshold), 0, vector)
        np.testing.assert_array_equal(found, expected)


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    folders = [RunFolder.create(tmp_path, kind, loads(text_of())) for kind in ("whole", "stopped")]
    whole = finished(folders[0])
    finished(folders[1], StopAfter(2))
    assert finished(RunFolder.open(folders[1].path)) == whole
    lines = list(folders[0].lines("metrics.jsonl"))[1:]
    recorded = [line["strategy"]["sparsity"] for line in lines]
    assert recorded == pytest.approx([0.0, 0.7 * (1 - 0.5**3), 0.7, 0.7])


@pytest.mark.slow
def test_ray_ends_in_the_same_bits(tmp_path: Path) -> None:
    ends = [
        finished(RunFolder.create(tmp_path, engine, loads(text_of(engine=engine))))
        for engine in ("inline", "ray")
    ]
    assert ends[0] == ends[1]


def test_a_sparsity_that_would_not_be_reached_is_refused() -> None:
    with pytest.raises(FedlabError, match=r"reached in round 9, and the run has 4; set last = 4"):
        Simulation(loads(text_of().replace("last = 3", "last = 9")))
    with pytest.raises(FedlabError, match="it must be above first, which is 3"):
        loads(text_of().replace("last = 3", "last = 3\nfirst = 3"))


def test_the_weights_of_a_pruned_network_still_learn() -> None:
    with Simulation(loads(text_of().replace("steps = 3", "epochs = 2"))) as simulation:
        rounds = simulation.rounds()
        before = simulation.engine.evaluate(rounds.weights).compute()["loss"]
        rounds.run()
        after = simulation.engine.evaluate(rounds.weights).compute()["loss"]
    assert torch.isfinite(rounds.weights).all()
    assert after < before


def test_a_new_head_on_pretrained_layers_is_not_cut_off(tmp_path: Path) -> None:
    before = RunFolder.create(tmp_path, "before", loads(text_of()))
    finished(before)
    pretrained = f'pretrained = "{before.path}"\nhidden = []'
    scenario = loads(text_of("fedavg").replace("hidden = []", pretrained))
    with Simulation(scenario) as simulation:
        # As small as the new head of a large network is beside its layers.
        rounds = simulation.rounds()
        views = simulation.network.model.layout.wire_views(rounds.weights)
        heads = [view for n, view in views.items() if n.startswith(simulation.network.head)]
        for view in heads:
            view.mul_(0.01)
        rounds.run()
        views = simulation.network.model.layout.wire_views(rounds.weights)
        heads = [view for n, view in views.items() if n.startswith(simulation.network.head)]
    assert all((view != 0).all() for view in heads)


def test_the_head_is_pruned_among_the_others_where_that_is_asked_for() -> None:
    text = text_of("fedavg").replace("last = 3", "last = 3\nprune_head = true")
    with Simulation(loads(text)) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        views = simulation.network.model.layout.wire_views(rounds.weights)
    matrices = [view for view in views.values() if view.ndim > 1]
    zeros = sum(int((view == 0).sum()) for view in matrices)
    assert zeros == round(0.7 * sum(view.numel() for view in matrices))
    assert any(bool((v == 0).any()) for n, v in views.items() if n.startswith("head"))


def test_a_model_whose_head_alone_is_trained_has_nothing_to_prune() -> None:
    text = text_of("fedavg").replace("hidden = []", 'hidden = []\ntrainable = "head"')
    with pytest.raises(FedlabError, match="no such matrix of this model is trained"):
        Simulation(loads(text))
