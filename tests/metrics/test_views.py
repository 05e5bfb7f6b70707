"""The spread of projections."""

import pytest
import torch

from fedlab.data.dataset import Projection, Task
from fedlab.metrics.evaluation import Evaluation


def spread(outputs: torch.Tensor, parts: int = 1) -> float:
    task = Task("self-supervised", "image", (1, 8, 8), 6, projection=Projection((6,), ()))
    evaluation = Evaluation(task)
    for part in outputs.chunk(parts, dim=1):
        evaluation.update(part, torch.arange(part.shape[1]), 1.0, part.shape[1])
    return evaluation.compute()["spread"]


def test_it_is_0_where_projections_have_collapsed_and_near_1_where_they_are_isotropic() -> None:
    drawn = torch.randn(2, 500, 6, generator=torch.Generator().manual_seed(1))
    assert spread(drawn[:, :1].expand(2, 500, 6).sort(0).values[:1]) == pytest.approx(0, abs=1e-6)
    assert spread(drawn) == pytest.approx(1, abs=0.05)


def test_it_is_that_of_unit_vectors_however_they_are_cut() -> None:
    drawn = torch.randn(2, 60, 6, generator=torch.Generator().manual_seed(2)) + 0.5
    unit = torch.nn.functional.normalize(drawn.flatten(0, 1).double(), dim=1)
    expected = unit.std(0, correction=0).mean() * 6**0.5
    assert spread(drawn) == pytest.approx(float(expected), rel=1e-9)
    assert spread(drawn, 4) == pytest.approx(float(expected), rel=1e-9)
