"""The chain of update processors: composed in order, undone in reverse, on either side."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.algorithm.processing import (
    Payload,
    ProcessorSettings,
    Received,
    UpdateProcessor,
)
from fedlab.algorithm.update_chain import UpdateChain
from fedlab.errors import FedlabError
from fedlab.models.layout import Layout
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import loads
from fedlab.training.task import Assignment, Update
from tests.stopping import StopAfter

ORDER: list[str] = []


class Affine(UpdateProcessor):
    """x ← a x + b, which notes when it is called."""

    def __init__(self, name: str, a: float, b: float) -> None:
        super().__init__(ProcessorSettings(name=name))
        self.a, self.b = a, b

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        ORDER.append(f"encode {self.settings.name}")
        return Payload(
            self.a * update + self.b,
            along={"a": torch.tensor([self.a])},
            metrics={self.settings.name: 1.0},
            kept={"times": received.kept.get("times", torch.zeros(1)) + 1},
        )

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        ORDER.append(f"decode {self.settings.name}")
        return (payload.values - self.b) / payload.along["a"]


def chain(*processors: UpdateProcessor, sends_weights: bool = True) -> UpdateChain:
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
    layout = Layout.of(module, ["1.running_mean", "1.running_var"])
    return UpdateChain(processors, layout, sends_weights, seed=1)


def update_of(weights: torch.Tensor, **state: torch.Tensor) -> Update:
    return Update(weights, examples=2, metrics={}, state=state)


WIRE = torch.arange(7.0)
TRAINED = WIRE + torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0, 6.0, 7.0])
ASKED = Assignment(client=3, round=2, wire=WIRE)


def test_processors_are_undone_in_reverse() -> None:
    ORDER.clear()
    both = chain(Affine("double", 2.0, 0.0), Affine("shift", 1.0, 5.0))
    update = update_of(TRAINED)
    encoded = both.encode(update, ASKED)
    assert encoded.values.tolist() == [7.0, 1.0, 11.0, -3.0, 15.0]
    assert both.decode(encoded, ASKED).tolist() == TRAINED.tolist()
    assert ORDER == ["encode double", "encode shift", "decode shift", "decode double"]
    assert update.metrics == {"double": 1.0, "shift": 1.0}


def test_order_matters() -> None:
    shifted_first = chain(Affine("shift", 1.0, 5.0), Affine("double", 2.0, 0.0))
    encoded = shifted_first.encode(update_of(TRAINED), ASKED)
    assert encoded.values.tolist() == [12.0, 6.0, 16.0, 2.0, 20.0]


def test_running_statistics_are_not_processed() -> None:
    encoded = chain(Affine("double", 2.0, 0.0)).encode(update_of(TRAINED), ASKED)
    assert encoded.others["update.statistics"].tolist() == TRAINED[5:].tolist()
    assert set(encoded.others) == {"update.statistics", "update.0.a"}
    assert encoded.nbytes == 4 * (5 + 2 + 1)


def test_what_stands_for_weights_is_itself_the_change() -> None:
    instead = chain(Affine("double", 2.0, 0.0), sends_weights=False)
    encoded = instead.encode(update_of(TRAINED), ASKED)
    assert encoded.values.tolist() == (2 * TRAINED[:5]).tolist()
    assert instead.decode(encoded, ASKED).tolist() == TRAINED.tolist()


def test_each_processor_keeps_its_own_state_of_a_client() -> None:
    both = chain(Affine("double", 2.0, 0.0), Affine("shift", 1.0, 5.0))
    update = update_of(TRAINED, own=torch.ones(2))
    both.encode(update, ASKED)
    assert set(update.state) == {"own", "update.0.times", "update.1.times"}
    later = Assignment(client=3, round=3, wire=WIRE, state=update.state)
    again = update_of(TRAINED)
    both.encode(again, later)
    assert again.state["update.1.times"].item() == 2


class Drawn(UpdateProcessor):
    """Sends random numbers."""

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        return Payload(torch.rand(len(update), generator=generator))


def test_draws_depend_on_seed_round_client_and_place() -> None:
    settings: Any = ProcessorSettings(name="drawn")

    def values(asked: Assignment, *before: UpdateProcessor) -> torch.Tensor:
        return chain(*before, Drawn(settings)).encode(update_of(TRAINED), asked).values

    first = values(ASKED)
    assert torch.equal(first, values(ASKED))
    for other in (
        values(Assignment(client=4, round=2, wire=WIRE)),
        values(Assignment(client=3, round=3, wire=WIRE)),
        values(ASKED, Drawn(settings)),
    ):
        assert not torch.equal(first, other)


class Scaled(UpdateProcessor):
    """Sends updates times a factor that the server counts up: a linear processor with state."""

    decodes_sums = True

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.rounds = 0

    def begin_round(self, server_round: int) -> dict[str, Any]:
        self.rounds += 1
        return {"factor": float(2**self.rounds)}

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        return Payload(update * float(received.values["factor"]))

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        DECODED.append(received.round)
        return payload.values / float(received.values["factor"])


DECODED: list[int] = []
SCENARIO = """
rounds = 3
[data]
name = "digits"
[data.partition]
name = "iid"
clients = 4
[model]
name = "mlp"
hidden = [8]
[client.optimizer]
lr = 0.1
[strategy]
{strategy}
[engine]
name = "inline"
{updates}
"""
FEDAVG, MEDIAN = 'name = "fedavg"', 'name = "fedmedian"'
SCALED = f'[[updates]]\nname = "{__name__}:Scaled"'


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())


def _this_module() -> Any:
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def weights(strategy: str, updates: str = "", *callbacks: Callback) -> torch.Tensor:
    asked = loads(SCENARIO.format(strategy=strategy, updates=updates))
    with Simulation(asked) as simulation:
        rounds = simulation.rounds(callbacks)
        rounds.run()
        return rounds.weights


@pytest.mark.usefixtures("importable")
def test_of_linear_processors_only_the_mean_is_decoded() -> None:
    DECODED.clear()
    found = weights(FEDAVG, SCALED)
    assert DECODED == [1, 2, 3]
    torch.testing.assert_close(found, weights(FEDAVG), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("importable")
def test_sums_alone_do_not_serve_who_looks_at_each_client() -> None:
    with pytest.raises(FedlabError, match="only the sum over clients can be read, and strategy"):
        weights(MEDIAN, SCALED)


@pytest.mark.usefixtures("importable")
def test_what_a_processor_keeps_on_the_server_is_resumed(tmp_path: Path) -> None:
    asked = loads(SCENARIO.format(strategy=FEDAVG, updates=SCALED))
    whole = RunFolder.create(tmp_path, "whole", asked)
    run(whole)
    stopped = RunFolder.create(tmp_path, "stopped", asked)
    run(stopped, [StopAfter(2)])
    run(RunFolder.open(stopped.path))
    digests = [(folder.path / "model.safetensors").read_bytes() for folder in (whole, stopped)]
    assert digests[0] == digests[1]
    assert RunFolder.open(stopped.path).latest().updates == [{"rounds": 3}]  # type: ignore[union-attr]
