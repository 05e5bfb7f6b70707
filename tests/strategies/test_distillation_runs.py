"""Whole runs of distilling algorithms: resumed, and on ray, they end in the same bits."""

from __future__ import annotations

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
from fedlab.scenario import dumps, loads

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
{client}
batch_size = 8
optimizer = {{lr = 0.1}}
[strategy]
{strategy}
[engine]
{engine}
[evaluation]
test_examples = 50
federated = {federated}
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
SUPERVISED = 'name = "supervised"'
# Two architectures; the fifth client, of the first one, is not in every cohort.
SEVERAL = f"""
{MLP}
personal = "all"
[[model.others]]
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
# Model, strategy and client.
ALGORITHMS = {
    "feddf, dropout": (MLP, FEDDF, SUPERVISED),
    "feddf, batch norm": (BATCH_NORM, FEDDF, SUPERVISED),
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


def text_of(model: str, strategy: str, client: str, engine: str = INLINE) -> str:
    """Return the scenario; no weights of FedMD's can be tested on the server."""
    federated = str("fedmd" in client).lower()
    return SCENARIO.format(
        model=model, strategy=strategy, client=client, engine=engine, federated=federated
    )


def folder_of(path: Path, algorithm: str, engine: str = INLINE) -> RunFolder:
    text = text_of(*ALGORITHMS[algorithm], engine)
    return RunFolder.create(path, "distillation", loads(text))


def outcome(folder: RunFolder) -> dict[str, bytes]:
    """Run a folder's scenario to its end; return all that came of it, bit for bit."""
    rounds = run(folder)
    found = {"weights": rounds.weights.numpy().tobytes()}
    server: dict[str, Any] = rounds.strategy.state_dict()  # type: ignore[attr-defined]
    found |= {f"server {name}": np.asarray(value).tobytes() for name, value in server.items()}
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
        pytest.param("feddf, batch norm", 1, marks=pytest.mark.slow),
        pytest.param("fedmd", 1, marks=pytest.mark.slow),
    ],
)
def test_inline_and_ray_agree_bit_for_bit(tmp_path: Path, algorithm: str, workers: int) -> None:
    ray = folder_of(tmp_path, algorithm, f'name = "ray"\nworkers = {workers}')
    assert outcome(ray) == outcome(folder_of(tmp_path, algorithm))


def test_distillation_changes_the_mean_and_tells_how_far_it_was(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "feddf, dropout")
    averaged = loads(text_of(MLP, 'name = "fedavg"\nfraction_train = 0.7', SUPERVISED))
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


def test_other_architectures_are_told_with_their_keys(tmp_path: Path) -> None:
    scenario: Any = loads(text_of(*ALGORITHMS["fedmd"]))
    assert scenario.model.others[0].layers[0].channels == 3
    assert loads(dumps(scenario)).model.model_dump() == scenario.model.model_dump()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[data.public]\nexamples = 50\n", "", "add a table [data.public]"),
        ('name = "mlp"', 'name = "mlp"\npersonal = "head"', "set model.personal = 'none'"),
        ('name = "digits"', 'name = "diabetes"', "the data set's task is regression"),
    ],
)
def test_what_does_not_go_together_is_refused(before: str, after: str, said: str) -> None:
    text = text_of(MLP, FEDDF, SUPERVISED)
    assert before in text
    text = text.replace(before, after)
    if "diabetes" in text:
        text = text.replace('"dirichlet"', '"iid"').replace("alpha = 0.5\n", "")
    with pytest.raises(FedlabError) as refused:
        Simulation(loads(text))
    assert said in str(refused.value)


LINEAR = '[[model.others]]\nname = "linear"\n'


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('personal = "all"', "", "model: others: weights of different architectures have no mean"),
        ("[[model.others]]", '[[model.others]]\nname = "mpl"\n[[model.others]]', "mean 'mlp'"),
        ("channels = 3", "chanels = 3", "Did you mean 'channels'"),
        ("[[model.others]]", LINEAR + "hidden = [3]\n[[model.others]]", "Known here: name,"),
        ("[[model.others]]", LINEAR + "[[model.others]]\npersonal = 3", "model.others.1.personal"),
        ("kernel_size = 3", "kernel_size = 9", "model.others.0.layers.0: its kernel_size 9"),
        ("federated = true", 'federated = true\nbaselines = ["local"]', "several (model.others)"),
        ("[data.public]\nexamples = 50\n", "", "add a table [data.public]"),
        (FEDMD_CLIENT, 'name = "fedproto"\n', "set client.name = 'fedmd'"),
        ('name = "fedmd"\nsubset', 'name = "fedavg"\n#', "set strategy.name = 'fedmd'"),
    ],
)
def test_what_clients_of_several_architectures_cannot_do_is_refused(
    before: str, after: str, said: str
) -> None:
    text = text_of(*ALGORITHMS["fedmd"])
    assert before in text
    with pytest.raises(FedlabError) as refused:
        Simulation(loads(text.replace(before, after)))
    assert said in str(refused.value)
