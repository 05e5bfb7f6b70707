"""Networks in 16-bit numbers on a device: every algorithm gets them, and float32 outside."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlab.errors import FedlabError
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from tests.devices.test_every_algorithm import SCENARIOS, Build, outcome
from tests.shared import Changes, scenario_with

pytestmark = pytest.mark.usefixtures("strict")

ON_DEVICE: Changes = {"engine": {"device": "strict"}}
SERVERS = ("attack", "processor", "dp-", "fed", "rfa", "krum", "multikrum", "bulyan", "centred")
CLIENTS = ("fedprox", "fednova", "feddyn", "fedmd", "fedper", "fedrep", "fedbabu", "fedbn")
NORMALISING = ("mimelite, Adam", "mimelite, Adagrad", "simsiam")
"""They divide what is near 0 by its own size, gradients or projections, and enlarge its errors."""
NOT_IN_FP16 = ("dann",)
"""A second optimiser takes the gradients of scaled losses: a run with it is refused."""
OF_CLIENTS = [
    name
    for name in SCENARIOS
    if name not in NOT_IN_FP16
    and "one by one" not in name
    and (name in CLIENTS or not name.startswith(SERVERS))
]


def in_precision(scenario: Scenario, precision: str) -> Scenario:
    keys = {"precision": precision, "vectorised": False}
    return scenario.model_copy(update={"engine": scenario.engine.model_copy(update=keys)})


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))


@pytest.mark.parametrize("name", OF_CLIENTS)
def test_a_client_algorithm_comes_near_its_result_in_float32(name: str) -> None:
    build: Build = SCENARIOS[name]
    expected = outcome(in_precision(build(), "float32"), "strict")
    found = outcome(in_precision(build(), "fp16"), "strict")
    assert [value.dtype for value in found.values()] == [v.dtype for v in expected.values()]
    assert all(bool(torch.isfinite(value).all()) for value in found.values())
    if name not in NORMALISING:
        assert apart(found["weights"], expected["weights"]) < 0.01
    assert any(not torch.equal(found[key], expected[key]) for key in found)


def after_rounds(*changes: Changes) -> torch.Tensor:
    """Return the weights after two rounds."""
    with Simulation(scenario_with({"rounds": 2}, ON_DEVICE, *changes)) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        return torch.as_tensor(rounds.weights)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("model", ["cnn", "vit"])
def test_products_are_computed_in_16_bits_and_all_else_is_float32(
    model: str, precision: str
) -> None:
    changes: Changes = {"model": {"name": model}, "engine": {"precision": precision}}
    with Simulation(scenario_with(ON_DEVICE, changes)) as simulation:
        worker = simulation.engine._runner.worker  # type: ignore[attr-defined]
        network, seen = worker.network, {}

        def note(module: Any, inputs: Any, outputs: torch.Tensor) -> None:
            seen[type(module).__name__] = outputs.dtype

        for module in network.model.module.modules():
            module.register_forward_hook(note)
        simulation.engine.evaluate(torch.as_tensor(simulation.initial_weights))
        lower = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        assert seen["Linear"] == lower
        assert seen.get("LayerNorm", torch.float32) == torch.float32
        assert {p.dtype for p in network.model.module.parameters()} == {torch.float32}
        assert network.model.call(
            worker.prepare(worker.federation.dataset.test.inputs[:2])
        ).dtype == (torch.float32)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_device_and_the_cpu_reach_the_same_bits(precision: str) -> None:
    changes: Changes = {"model": {"name": "cnn"}, "engine": {"precision": precision}}
    on_device, on_cpu = (
        after_rounds(changes, {"engine": {"device": device}}) for device in ("strict", "cpu")
    )
    assert torch.equal(on_device, on_cpu)


def test_cached_features_are_those_of_the_precision(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
    frozen: Changes = {"model": {"name": "cnn", "trainable": "head"}}
    found = {}
    for precision in ("float32", "bf16"):
        for cache in ("auto", False):
            keys = {"engine": {"precision": precision, "feature_cache": cache}}
            found[precision, cache] = after_rounds(frozen, keys)
    assert apart(found["bf16", "auto"], found["bf16", False]) < 1e-4
    assert apart(found["bf16", "auto"], found["float32", "auto"]) > 1e-4


def test_a_precision_that_a_device_does_not_multiply_in_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fedlab.engine import numerics

    monkeypatch.setattr(numerics, "precisions", lambda name: ("float32", "bfloat16"))
    expected = "'strict:0' does not compute in 'fp16'; it computes in float32, bfloat16$"
    with pytest.raises(FedlabError, match=expected):
        Simulation(scenario_with(ON_DEVICE, {"engine": {"precision": "fp16"}}))


class Noting(Callback):
    """Keeps every round's record and reports."""

    name = "noting"

    def __init__(self) -> None:
        self.seen: list[RoundOutcome] = []

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        self.seen.append(outcome)


def test_gradients_computed_again_are_counted_in_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: Changes = {"rounds": 1, "engine": {"precision": "fp16"}}
    noting = {first: Noting() for first in (2.0**16, 2.0**30)}
    for first, callback in noting.items():
        monkeypatch.setattr("fedlab.training.loss_scale.FIRST", first)
        with Simulation(scenario_with(ON_DEVICE, changes)) as simulation:
            simulation.rounds([callback]).run()
    usual, high = (callback.seen[-1] for callback in noting.values())
    assert "repeated_steps" not in usual.record
    assert [report.metrics["repeated_steps"] for report in usual.reports] == [0, 0, 0]
    repeated = [report.metrics["repeated_steps"] for report in high.reports]
    assert min(repeated) > 0
    assert high.record["repeated_steps"] == sum(repeated)
    steps = [report.metrics["steps"] for report in usual.reports]
    assert [report.metrics["steps"] for report in high.reports] == steps
