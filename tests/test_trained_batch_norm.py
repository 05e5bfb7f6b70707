"""Every strategy, client and wrapper learns on a network whose batch norm is trained."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.sanity import parts
from fedlab import registry
from fedlab.algorithm.client import ClientAlgorithm
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask, Update
from tests.stopping import StopAfter

# Noise on the parameters, and an outer aggregator, around strategies of each kind.
DP = {**parts.PRIVATE, "clipping_norm": 1.0}
WRAPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "dp of fedavgm": (
        "dp-server-fixed-clipping",
        {"strategy": {**DP, "inner": {"name": "fedavgm", "server_momentum": 0.5}}},
    ),
    "dp of fedadam": (
        "dp-client-fixed-clipping",
        {
            "strategy": {**DP, "inner": {"name": "fedadam", "eta": 0.01}},
            "updates": [{"name": "fixed-clipping"}],
        },
    ),
    "dp of krum": (
        "dp-server-adaptive-clipping",
        {"strategy": {**parts.ADAPTIVE, "inner": {"name": "krum", "num_malicious_nodes": 1}}},
    ),
    "buckets of krum": ("bucketing", {"strategy": {"inner": {"name": "krum"}}}),
    "buckets of centred clipping": (
        "bucketing",
        {"strategy": {"inner": {"name": "centred-clipping"}}},
    ),
}
ATTACKED: dict[str, dict[str, Any]] = {
    name: {"attack": {"name": name, "clients": [0]}}
    for name in ("alie", "ipm", "mimic", "min-max", "sign-flip", "free-rider")
}
ATTACKED["gaussian-noise"] = {
    "attack": {"name": "gaussian-noise", "clients": [0], "deviation": 30.0}
}
PROCESSORS = (
    *("float16", "bfloat16", "qsgd", "top-k", "random-k", "sign", "terngrad", "powersgd"),
    *("count-sketch", "lossless"),
)
PROCESSED: dict[str, dict[str, Any]] = {name: {"updates": [{"name": name}]} for name in PROCESSORS}


class Watch(Callback):
    """Keeps each round's record, and the least running variance that the server held."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.least = math.inf
        self.is_of_clients = False

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        self.records.append(outcome.record)

    def loss(self, round_number: int) -> float:
        """Return the test loss, or the clients' where the server tests nothing that is trained."""
        record = self.records[round_number]
        if "test" in record and not self.is_of_clients:
            return float(record["test"]["loss"])
        return float(record["clients"]["loss"]["mean"]) if "clients" in record else math.log(10)


class Variances(Watch):
    def __init__(self, layout: Any) -> None:
        super().__init__()
        self._entries = [e for e in layout.entries if e.name.endswith("running_var")]
        self._start = layout.wire.start

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        super().round_ended(run, outcome)
        for entry in self._entries:
            if entry.start >= self._start:
                held = run.weights[entry.start - self._start : entry.stop - self._start]
                self.least = min(self.least, float(held.min()))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parts.model_file(tmp_path_factory.mktemp("model"))


def watched(strategy: str, own: Mapping[str, Any], *changes: Mapping[str, Any]) -> Watch:
    with Simulation(parts.scenario_of(strategy, own, *changes)) as simulation:
        watch = Variances(simulation.network.model.layout)
        # A prototypical network has no use for the head, by which the server tests it.
        watch.is_of_clients = simulation.scenario.client.name == "protonet"
        rounds = simulation.rounds([watch])
        rounds.run()
    assert np.isfinite(rounds.weights.numpy()).all()
    return watch


def check_learns(watch: Watch, least: float = 1.0) -> None:
    """Check that variances stay near those of the trained network, whose least is about 20."""
    assert watch.least >= least
    losses = [watch.loss(number) for number in range(len(watch.records))]
    assert all(math.isfinite(loss) for loss in losses), losses
    assert losses[-1] < losses[0], losses


def test_every_strategy_and_client_is_among_those_tried() -> None:
    assert set(parts.STRATEGIES) == set(registry.strategies.names())
    paired = {own.get("client", {}).get("name") for own in parts.STRATEGIES.values()} - {None}
    # SimMIM is for Vision Transformers, which have no batch norm.
    known = {*parts.ALGORITHMS, *parts.SELF_SUPERVISED, *paired, "simmim"}
    assert known == set(registry.clients.names())


@pytest.mark.parametrize("name", parts.STRATEGIES)
def test_every_strategy_learns_with_trained_batch_norm(trained: Any, name: str) -> None:
    check_learns(watched(name, parts.STRATEGIES[name], {"model": trained}))


@pytest.mark.parametrize("name", parts.ALGORITHMS)
def test_every_client_learns_with_trained_batch_norm(trained: Any, name: str) -> None:
    check_learns(watched("fedavg", parts.ALGORITHMS[name], {"model": trained}))


@pytest.mark.parametrize("name", parts.SELF_SUPERVISED)
def test_without_labels_trained_batch_norm_stays_sound(trained: Any, name: str) -> None:
    watch = watched("fedavg", parts.SELF_SUPERVISED[name], {"model": trained})
    # The projection's running variances begin at 1, and are of small numbers.
    assert watch.least > 0
    tested = [record["test"] for record in watch.records]
    assert all(math.isfinite(test["loss"]) for test in tested)
    assert tested[-1]["spread"] > 0.05
    assert tested[-1]["probe_accuracy"] > 0.5


@pytest.mark.parametrize("name", WRAPPED)
def test_every_wrapper_learns_with_trained_batch_norm(trained: Any, name: str) -> None:
    strategy, own = WRAPPED[name]
    check_learns(watched(strategy, own, {"model": trained}))


@pytest.mark.parametrize("name", ATTACKED)
def test_no_attack_makes_variances_negative(trained: Any, name: str) -> None:
    assert watched("fedavg", ATTACKED[name], {"model": trained}).least > 1.0
    check_learns(watched("krum", ATTACKED[name], {"model": trained}))


@pytest.mark.parametrize("name", PROCESSED)
def test_every_processor_leaves_statistics_alone(trained: Any, name: str) -> None:
    check_learns(watched("fedavg", PROCESSED[name], {"model": trained}))


@pytest.mark.parametrize("kind", ["idle", "broken"])
@pytest.mark.parametrize(
    "name", ["rfa", "bucketing", "krum", "multikrum", "bulyan", "centred-clipping", "dnc",
             "fltrust", "fedmedian", "fedtrimmedavg", "norm-bounding", "fedmgda+"],
)  # fmt: skip
def test_robust_strategies_learn_beside_one_client_in_trouble(
    trained: Any, name: str, kind: str
) -> None:
    own = parts.STRATEGIES[name]
    scenario = parts.scenario_of(name, own, {"model": trained})
    watch = watched(name, own, {"model": trained}, parts.with_trouble(scenario, kind))
    check_learns(watch)
    assert watch.loss(-1) < watch.loss(0) - 0.1
    failures = [record["failures"] for record in watch.records[1:]]
    assert failures == ([1, 1, 1] if kind == "broken" else [0, 0, 0])


class Negative(ClientAlgorithm):
    """A client whose running variances, which come last, are negative where it is client 0."""

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        sent = super().update(task, fitted)
        sent.weights[-1] *= 1 - 2 * (task.client == 0)
        return sent


def test_who_sends_negative_variances_has_failed(trained: Any) -> None:
    name = {"client": {"name": f"{__name__}:Negative"}}
    watch = watched("fedavg", name, {"model": trained})
    check_learns(watch)
    assert [record["failures"] for record in watch.records[1:]] == [1, 1, 1]


def test_a_run_of_private_parameters_says_what_it_leaves_out(trained: Any) -> None:
    own = parts.STRATEGIES["dp-server-fixed-clipping"]
    for model, count in ((trained, 1), ({**parts.BATCH_NORM, "batch_norm": "local"}, 0)):
        scenario = parts.scenario_of("dp-server-fixed-clipping", own, {"model": model})
        with Simulation(scenario) as simulation:
            told = [note for note in simulation.notes if "the guarantee does not cover" in note]
        assert len(told) == count


def test_steps_do_not_depend_on_what_statistics_do(trained: Any, tmp_path: Path) -> None:
    """The least norm that bounds the parameters' step is spent on parameters alone."""
    scenario = parts.scenario_of("norm-bounding", {"strategy": {"bound": 0.5}}, {"model": trained})
    with Simulation(scenario) as simulation:
        before = simulation.initial_weights.numpy().copy()
        count = simulation.network.model.layout.wire_parameters
        rounds = simulation.rounds([])
        rounds.scenario = scenario.model_copy(update={"rounds": 1})
        rounds.run()
    change = rounds.weights.numpy() - before
    assert np.abs(change[count:]).max() > 5
    assert 0.2 < np.linalg.norm(change[:count]) <= 0.5


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "fltrust", "krum", "scaffold"])
def test_a_resumed_run_ends_in_the_same_bits(trained: Any, tmp_path: Path, name: str) -> None:
    scenario = parts.scenario_of(name, parts.STRATEGIES[name], {"model": trained})
    whole = run(RunFolder.create(tmp_path, "whole", scenario))
    folder = RunFolder.create(tmp_path, "halves", scenario)
    assert run(folder, [StopAfter(1)]).round == 1
    rest = run(RunFolder.open(folder.path))
    np.testing.assert_array_equal(rest.weights, whole.weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fedavg", "fedavgm", "fltrust", "krum", "scaffold", "ifca"])
def test_ray_ends_in_the_same_bits(trained: Any, tmp_path: Path, name: str) -> None:
    engine = {"engine": {"name": "ray", "workers": 2}}
    ends = []
    for changes in ({}, engine):
        scenario = parts.scenario_of(name, parts.STRATEGIES[name], {"model": trained}, changes)
        ends.append(run(RunFolder.create(tmp_path, "run", scenario)).weights.numpy())
    np.testing.assert_array_equal(*ends)


FEW = ["fedadam", "krum", "rfa"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FEW else pytest.mark.slow)
        for name in parts.STRATEGIES
    ],
)
def test_every_strategy_learns_with_a_pretrained_backbone(name: str) -> None:
    less = {"rounds": 2, "data": {"train_examples": 240}, "evaluation": {"test_examples": 60}}
    own = parts.STRATEGIES[name]
    is_adapted = "adapter" in own.get("model", {})
    trainable = {"trainable": "adapter+last:2"} if is_adapted else {}
    watch = watched(name, own, {"model": {**parts.PRETRAINED, **trainable}}, less)
    # Dead channels of the published weights have a variance of 0.
    check_learns(watch, 0.0)
