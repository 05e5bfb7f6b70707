import pytest
import torch

from benchmarks.plain_niid import accumulated, factors, federate, split
from fedlab.training.accumulation import accumulated_steps
from fedlab.training.optimizer import OptimizerSettings


def test_every_example_is_dealt_in_the_sizes_of_the_reproduction() -> None:
    parts = split(torch.arange(60_000) % 10)
    assert torch.cat(parts).sort().values.tolist() == list(range(60_000))
    sizes = [len(rows) for rows in parts]
    assert sizes == [4000, 9000, 5000, 8000, 5000, 5000, 6000, 4000, 6000, 8000]


@pytest.mark.parametrize("steps", [1, 3, 630])
def test_accumulated_steps_are_those_of_fedlab(steps: int) -> None:
    ours = accumulated_steps(OptimizerSettings(name="sgd", lr=0.01, momentum=0.9), steps, 0.01)
    assert accumulated(steps) == pytest.approx(ours)


def test_equal_work_makes_fednova_the_weighted_mean() -> None:
    assert factors([0.25, 0.75], [40, 40]) == pytest.approx([0.25, 0.75])
    first, second = factors([0.5, 0.5], [10, 1000])
    assert first > 0.5 > second


@pytest.mark.parametrize("algorithm", ["fedavg", "fednova"])
def test_two_clients_learn_two_classes(algorithm: str) -> None:
    torch.manual_seed(0)
    pictures = torch.rand(128, 1, 28, 28)
    targets = torch.arange(128) % 2
    pictures[targets == 1, :, :14] = 0
    data = (pictures, targets)
    *_, last = federate(algorithm, [data, data], (pictures, targets), seed=0, rounds=8)
    assert last > 0.9
