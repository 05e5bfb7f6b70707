"""Whole runs with update processors: the same bits on every engine and after a resume."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import loads
from tests.stopping import StopAfter

SCENARIO = """
rounds = 3
seed = 3
[data]
name = "digits"
[data.partition]
name = "iid"
clients = 6
[model]
{model}
[client]
steps = 4
{client}
[client.optimizer]
lr = 0.2
[evaluation]
test_examples = 60
[strategy]
{strategy}
[engine]
{engine}
"""
FEDAVG = 'name = "fedavg"'
CLIPPING = "noise_multiplier = 0.1\nnum_sampled_clients = 6\n"
PROCESSORS = {
    "fixed-clipping": ("", f'name = "dp-client-fixed-clipping"\n{CLIPPING}clipping_norm = 0.5'),
    "adaptive-clipping": (
        "",
        f'name = "dp-client-adaptive-clipping"\n{CLIPPING}clipped_count_stddev = 0.3',
    ),
    "float16": ("", FEDAVG),
    "bfloat16": ("", 'name = "fedmedian"'),
    "top-k": ("fraction = 0.1", FEDAVG),
    "qsgd": ("levels = 3", 'name = "scaffold"'),
    "random-k": ('fraction = 0.2\nmask = "round"\nerror_feedback = true', FEDAVG),
    "sign": ("", 'name = "majority-vote"'),
    "terngrad": ("error_feedback = true", FEDAVG),
    "powersgd": ("rank = 2", FEDAVG),
    "count-sketch": ("momentum = 0.5", FEDAVG),
    "lossless": ('codec = "zlib"', 'name = "fedmedian"'),
}
MLP = 'name = "mlp"\nhidden = [8]'
INLINE = 'name = "inline"'


def scenario(
    *names: str, engine: str = INLINE, model: str = MLP, strategy: str = "", client: str = ""
) -> Any:
    tables = "\n".join(f'[[updates]]\nname = "{n}"\n{PROCESSORS[n][0]}' for n in names)
    text = SCENARIO.format(
        model=model,
        client=client or ('name = "scaffold"' if names == ("qsgd",) else ""),
        strategy=strategy or (PROCESSORS[names[-1]][1] if names else FEDAVG),
        engine=engine,
    )
    return loads(f"{text}\n{tables}")


def finished(folder: RunFolder, *callbacks: Callback) -> str:
    run(folder, callbacks)
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


def outcome(parent: Path, *names: str, **options: str) -> str:
    return finished(RunFolder.create(parent, "processed", scenario(*names, **options)))


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, name: str) -> None:
    whole = outcome(tmp_path, name)
    stopped = RunFolder.create(tmp_path, "stopped", scenario(name))
    finished(stopped, StopAfter(2))
    assert finished(RunFolder.open(stopped.path)) == whole


FAST = {("top-k", 2), ("count-sketch", 2)}


@pytest.mark.parametrize(
    ("name", "workers"),
    [
        pytest.param(name, workers, marks=() if (name, workers) in FAST else pytest.mark.slow)
        for name in PROCESSORS
        for workers in (1, 2, 3)
    ],
)
def test_ray_ends_in_the_same_bits(tmp_path: Path, name: str, workers: int) -> None:
    inline = outcome(tmp_path, name)
    assert outcome(tmp_path, name, engine=f'name = "ray"\nworkers = {workers}') == inline


@pytest.mark.slow
def test_flowers_own_engine_agrees(tmp_path: Path) -> None:
    ends = []
    for engine in ("inline", "flower"):
        with Simulation(scenario("top-k", "float16", engine=f'name = "{engine}"')) as simulation:
            rounds = simulation.rounds()
            rounds.run()
            ends.append(rounds.weights)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)


def test_stacked_clients_send_what_those_one_by_one_do() -> None:
    ends = []
    for vectorised in ('"auto"', "false"):
        engine = f"{INLINE}\nvectorised = {vectorised}"
        with Simulation(scenario("fixed-clipping", engine=engine)) as simulation:
            rounds = simulation.rounds()
            rounds.run()
            assert simulation.engine.stacking.decision.used == (vectorised == '"auto"')
            ends.append(rounds.weights)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)


PARAMETERS = 64 * 8 + 8 + 8 * 10 + 10
NPY_HEADER = 128


@pytest.mark.parametrize(
    ("names", "each"),
    [
        (("float16",), 2 * PARAMETERS),
        (("top-k",), 61 * 8 + 8),
        (("top-k", "float16"), 61 * 6 + 8),
        (("top-k", "qsgd"), -(-61 * 4 // 8) + 4 + 8 + 61 * 4 + 8),
        (("random-k",), 122 * 4 + 8),
        (("sign",), -(-PARAMETERS // 8) + 4 + 8),
        (("terngrad",), -(-PARAMETERS // 5) + 4 * 4),
        (("powersgd",), 4 * (2 * (64 + 8) + 2 * (8 + 10) + 18)),
        (("powersgd", "float16"), 2 * (2 * (64 + 8) + 2 * (8 + 10) + 18)),
        (("count-sketch",), 4 * 5 * 25 + 8),
    ],
)
def test_bytes_are_those_that_would_travel(
    tmp_path: Path, names: tuple[str, ...], each: int
) -> None:
    assert -(-PARAMETERS // 10) == 61
    folder = RunFolder.create(tmp_path, "bytes", scenario(*names, strategy=FEDAVG))
    run(folder)
    last = list(folder.lines("metrics.jsonl"))[-1]
    assert last["bytes_up"] == 6 * each
    assert last["bytes_saved"] == 6 * (4 * PARAMETERS - each)


def test_individual_replies_arrive_decoded(tmp_path: Path) -> None:
    """A strategy that looks at each client's update gets weights, whatever travelled."""
    by_mean = outcome(tmp_path, "top-k", strategy='name = "fedtrimmedavg"\nbeta = 0.0')
    assert by_mean != outcome(tmp_path, strategy='name = "fedtrimmedavg"\nbeta = 0.0')
    ends = []
    for strategy in (FEDAVG, 'name = "fedtrimmedavg"\nbeta = 0.0'):
        engine = f"{INLINE}\nvectorised = false"
        with Simulation(scenario("top-k", strategy=strategy, engine=engine)) as simulation:
            rounds = simulation.rounds()
            rounds.run()
            ends.append(rounds.weights)
    # Clients hold 239 or 240 examples each, so that both means are nearly the same.
    torch.testing.assert_close(ends[0], ends[1], rtol=2e-2, atol=2e-3)


CNN = 'name = "cnn"\nlayers = [{ channels = 4, kernel_size = 3, batch_norm = true }]\nhidden = []'


def test_running_statistics_travel_as_they_are(tmp_path: Path) -> None:
    with Simulation(scenario("qsgd", model=CNN, strategy=FEDAVG, client='name = "supervised"')) as (
        simulation
    ):
        rounds = simulation.rounds()
        rounds.run()
        layout = simulation.network.model.layout
        assert layout.wire_size > layout.wire_parameters
        statistics = layout.wire_views(rounds.weights)
        variances = [v for name, v in statistics.items() if name.endswith("running_var")]
        assert variances
        assert all((variance > 0).all() for variance in variances)
    plain = outcome(tmp_path, model=CNN)
    assert plain != outcome(
        tmp_path, "qsgd", model=CNN, strategy=FEDAVG, client='name = "supervised"'
    )


def test_a_clients_error_is_kept_apart_from_its_state() -> None:
    asked = scenario("top-k", strategy='name = "scaffold"', client='name = "scaffold"')
    with Simulation(asked) as simulation:
        simulation.rounds().run()
        kept = simulation.engine.states.get(0).array_records["client-state"]
        assert set(kept) == {"control", "update.0.error"}
        assert np.count_nonzero(kept["update.0.error"].numpy()) > PARAMETERS // 2


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"names": ("float16", "top-k")},
            "updates.1: 'top-k' takes numbers, and 'float16' before it leaves codes; let 'float16'",
        ),
        (
            {"names": ("qsgd", "float16"), "strategy": FEDAVG, "client": 'name = "supervised"'},
            "let 'qsgd' be the last one",
        ),
        (
            {
                "names": ("top-k",),
                "strategy": 'name = "ifca"',
                "client": 'name = "ifca"',
            },
            "updates: a client of 'ifca' trains one of several models",
        ),
        (
            {
                "names": ("float16",),
                "strategy": 'name = "fedproto"',
                "client": 'name = "fedproto"',
                "model": f'{MLP}\npersonal = "all"',
            },
            "updates: 'float16' would process the weights that clients send, and none travel",
        ),
        (
            {"names": ("adaptive-clipping",), "strategy": FEDAVG},
            "updates: 'adaptive-clipping' waits for a clipping norm",
        ),
        (
            {"names": ("random-k", "powersgd"), "strategy": FEDAVG},
            "'powersgd' takes a number for each parameter, and 'random-k' before it leaves others",
        ),
        (
            {"names": ("count-sketch",), "strategy": 'name = "fedmedian"'},
            "updates: of what 'count-sketch' sends only the sum over clients can be read",
        ),
        (
            {"names": ("count-sketch", "float16"), "strategy": FEDAVG},
            "of what 'float16' leaves no sums are taken; let it be the only one",
        ),
        (
            {"names": ("random-k",), "engine": 'name = "flower"'},
            "updates: 'random-k' with mask = 'round' is decoded once all clients' are added up",
        ),
    ],
)
def test_what_cannot_be_composed_is_refused(asked: dict[str, Any], told: str) -> None:
    names = asked.pop("names")
    with pytest.raises(FedlabError, match=told):
        Simulation(scenario(*names, **asked))


def test_the_order_is_refused_when_a_scenario_is_checked() -> None:
    with pytest.raises(FedlabError, match=r"updates\.1: 'top-k' takes numbers"):
        scenario("float16", "top-k")
