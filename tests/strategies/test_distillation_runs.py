"""Whole runs of distilling algorithms: resumed, and on ray, they end in the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.results.run_folder import RunFolder
from fedlab.scenario import loads
from fedlab.server.callbacks import Callback, RoundOutcome
from fedlab.server.rounds import Rounds
from fedlab.server.simulation import Simulation, run

SCENARIO = """
rounds = 3
seed = 5
[data]
name = "digits"
train_examples = 200
[data.public]
examples = 50
[data.partition]
name = "dirichlet"
clients = 5
alpha = 0.5
[model]
{model}
[client]
batch_size = 8
optimizer = {{lr = 0.1}}
[strategy]
{strategy}
[engine]
{engine}
[evaluation]
test_examples = 50
"""
MLP = 'name = "mlp"\nhidden = [6]\ndropout = 0.1'
BATCH_NORM = 'name = "cnn"\nlayers = [{channels = 3, kernel_size = 3, batch_norm = true}]'
FEDDF = """
name = "feddf"
fraction_train = 0.7
distillation_steps = 5
distillation_batch_size = 16
"""
INLINE = 'name = "inline"'


class Stop(Exception):
    """The run is over before its end."""


class StopAfter(Callback):
    def __init__(self, number: int) -> None:
        self.number = number

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        if outcome.round == self.number:
            raise Stop


def folder_of(path: Path, model: str = MLP, strategy: str = FEDDF, engine: str = INLINE) -> Any:
    text = SCENARIO.format(model=model, strategy=strategy, engine=engine)
    return RunFolder.create(path, "distillation", loads(text))


def digest(folder: RunFolder) -> str:
    run(folder)
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


@pytest.mark.parametrize("model", [MLP, BATCH_NORM], ids=["dropout", "batch norm"])
def test_stopped_and_resumed_it_reaches_the_same_bits(tmp_path: Path, model: str) -> None:
    whole = digest(folder_of(tmp_path, model))
    for number in (1, 2):
        part = folder_of(tmp_path, model)
        with pytest.raises(Stop):
            run(part, [StopAfter(number)])
        assert digest(RunFolder.open(part.path)) == whole, number


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_inline_and_ray_agree_bit_for_bit(tmp_path: Path, workers: int) -> None:
    ray = folder_of(tmp_path, BATCH_NORM, engine=f'name = "ray"\nworkers = {workers}')
    assert digest(ray) == digest(folder_of(tmp_path, BATCH_NORM))


def test_distillation_changes_the_mean_and_tells_how_far_it_was(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    assert digest(folder) != digest(folder_of(tmp_path, strategy='name = "fedavg"'))
    lines = list(folder.lines("metrics.jsonl"))
    assert all(len(line["strategy"]["divergence"]) == 2 for line in lines[1:])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[data.public]\nexamples = 50\n", "", "add a table [data.public]"),
        ('name = "mlp"', 'name = "mlp"\npersonal = "head"', "set model.personal = 'none'"),
        ('name = "digits"', 'name = "diabetes"', "the data set's task is regression"),
    ],
)
def test_what_does_not_go_together_is_refused(before: str, after: str, said: str) -> None:
    text = SCENARIO.format(model=MLP, strategy=FEDDF, engine=INLINE)
    assert before in text
    text = text.replace(before, after)
    if "diabetes" in text:
        text = text.replace('"dirichlet"', '"iid"').replace("alpha = 0.5\n", "")
    with pytest.raises(FedlabError) as refused:
        Simulation(loads(text))
    assert said in str(refused.value)
