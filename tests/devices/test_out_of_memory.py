"""What does not fit into a device's memory is refused with what would."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.scenario.parts import load_federation
from fedlab.training.task import Assignment
from tests.devices.strict import limited, used
from tests.shared import scenario_with

Changes = dict[str, Any]

pytestmark = pytest.mark.usefixtures("strict")


def worker_of(engine: Changes | None = None, **client: Any) -> Worker:
    changes = {
        "model": {"name": "cnn"},
        "data": {"partition": {"clients": 1}},
        "client": client,
        "engine": {"device": "strict", **(engine or {})},
    }
    scenario = scenario_with(changes)
    return Worker(scenario, load_federation(scenario))


def asked(worker: Worker) -> Assignment:
    return Assignment(0, 1, worker.network.model.wire().cpu())


def refused(worker: Worker) -> str:
    """Return what is said where a MiB is left beside the worker."""
    with limited(used() + (1 << 20)), pytest.raises(FedlabError) as error:
        worker.train(asked(worker))
    return str(error.value)


def test_memory_is_counted() -> None:
    before = used()
    own = torch.ones(1000, device="strict")
    assert used() == before + 4000
    kept = own + 1
    assert used() == before + 8000
    del own, kept
    assert used() == before


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does() -> None:
    worker = worker_of(batch_size=512, steps=1)
    sentence = refused(worker)
    assert sentence.startswith("client.batch_size: a batch of 512 does not fit into the memory of")
    fitting = re.search(r"set client\.batch_size = (\d+)", sentence)
    assert fitting is not None
    smaller = worker_of(batch_size=int(fitting[1]), steps=1)
    del worker
    with limited(used() + (1 << 20)):
        assert smaller.train(asked(smaller)).examples > 0


def test_a_batch_that_does_not_fit_fits_in_pieces() -> None:
    worker = worker_of({"micro_batch": 256}, batch_size=512, steps=1)
    sentence = refused(worker)
    assert sentence.startswith("engine.micro_batch: a piece of 256 does not fit")
    fitting = re.search(r"pieces of (\d+) fit; set engine\.micro_batch = \1$", sentence)
    assert fitting is not None
    del worker
    smaller = worker_of({"micro_batch": int(fitting[1])}, batch_size=512, steps=1)
    with limited(used() + (1 << 20)):
        found = smaller.train(asked(smaller)).weights
    whole = worker_of(batch_size=512, steps=1)
    expected = whole.train(asked(whole)).weights
    start = whole.network.model.wire().cpu()
    assert (found - expected).norm() < 1e-5 * (expected - start).norm() + 1e-6


def test_where_nothing_fits_that_is_said() -> None:
    worker = worker_of(batch_size=64, steps=1)
    assignment = asked(worker)
    worker._placement.shared(assignment.wire)
    with limited(used() + 200), pytest.raises(FedlabError, match="nor does a batch of one"):
        worker.train(assignment)


def test_a_model_that_does_not_fit_is_refused() -> None:
    with (
        limited(used() + 1000),
        pytest.raises(FedlabError, match=r"^engine\.device: the model and its gradient do not fit"),
    ):
        worker_of()


def test_the_next_client_trains_as_if_nothing_had_happened() -> None:
    worker, other = (worker_of(batch_size=64, steps=2) for _ in range(2))
    with limited(used() + (1 << 18)), pytest.raises(FedlabError, match="does not fit"):
        worker.train(asked(worker))
    assignment = Assignment(0, 1, other.network.model.wire().cpu())
    assert torch.equal(worker.train(assignment).weights, other.train(assignment).weights)


def test_a_stack_that_does_not_fit_is_trained_one_by_one_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes = {
        "model": {"name": "cnn"},
        "data": {"partition": {"clients": 12}},
        "client": {"batch_size": 64, "steps": 1},
        "engine": {"device": "strict", "vectorised": 12},
    }
    scenario = scenario_with(changes)
    worker = Worker(scenario, load_federation(scenario))
    wire = worker.network.model.wire().cpu()
    every = [Assignment(client, 1, wire) for client in range(12)]
    with limited(used() + (4 << 20)):
        outcomes = dict(worker.train_block(every))
    assert not [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
    assert "12 clients at once do not fit into the memory of 'strict" in caplog.text
    assert "set engine.vectorised = 6" in caplog.text
