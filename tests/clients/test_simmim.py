"""SimMIM: what is hidden, and what its error is, in NumPy."""

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Masking, Task
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.metrics.evaluation import Evaluation
from fedlab.run.simulation import assemble
from fedlab.scenario.parts import load_federation
from fedlab.training.criterion import build_criterion
from fedlab.training.draw import build_draw
from fedlab.training.task import Assignment
from tests.clients.test_self_supervised_runs import scenario_of

TASK = Task("masked-patches", "image", (3, 6, 4), 12, masking=Masking(2, 0.5))


def pictures() -> torch.Tensor:
    return torch.randn(9, 3, 6, 4, generator=torch.Generator().manual_seed(1))


def test_half_of_the_patches_are_hidden_and_wanted() -> None:
    inputs = pictures()
    masked, wanted = build_draw(TASK)(inputs, torch.zeros(9), None, torch.Generator())
    assert wanted.shape == (9, 6, 12)
    for n in range(9):
        hidden = 0
        for k in range(6):
            row, column = 2 * (k // 2), 2 * (k % 2)
            place = (n, slice(None), slice(row, row + 2), slice(column, column + 2))
            if wanted[n, k].isnan().all():
                assert torch.equal(masked[place], inputs[place])
            else:
                hidden += 1
                assert not masked[place].any()
                assert torch.equal(wanted[n, k], inputs[place].flatten())
        assert hidden == 3


def test_in_evaluation_the_same_patches_are_hidden_every_time() -> None:
    draw = build_draw(TASK)
    first, second = (draw(pictures(), torch.zeros(9))[0] for _ in range(2))
    assert torch.equal(first, second)


def test_the_loss_is_the_mean_absolute_error_of_hidden_values() -> None:
    _, wanted = build_draw(TASK)(pictures(), torch.zeros(9))
    outputs = torch.randn(9, 6, 12, generator=torch.Generator().manual_seed(2))
    criterion = build_criterion("auto", TASK)
    errors = (outputs - wanted).numpy().flatten()
    errors = errors[~np.isnan(errors)]
    assert float(criterion(outputs, wanted)) == pytest.approx(np.abs(errors).mean(), rel=1e-6)
    evaluation = Evaluation(TASK)
    for part in (slice(0, 4), slice(4, 9)):
        evaluation.update(outputs[part], wanted[part], 1.0, 1)
    rmse = np.sqrt(np.square(errors).mean())
    assert evaluation.compute()["rmse"] == pytest.approx(rmse, rel=1e-6)


def test_a_client_learns_what_is_hidden() -> None:
    adam = {"name": "adam", "lr": 0.01}
    scenario = scenario_of("simmim", {"client": {"steps": 60, "optimizer": adam}})
    worker = Worker(scenario, load_federation(scenario))
    wire = worker.network.model.wire()
    update = worker.train(Assignment(0, 1, wire))
    before = worker.evaluate(Assignment(0, 1, wire))[1]["loss"]
    after = worker.evaluate(Assignment(0, 1, update.weights))[1]["loss"]
    assert after < 0.9 * before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"client": {"patch_size": 4}}, r"client\.patch_size: patches of 4×4 pixels are hidden"),
        ({"client": {"patch_size": 3}}, r"client\.patch_size: patches of 3×3 pixels do not tile"),
        ({"client": {"criterion": "binary"}}, r"client\.criterion: 'simmim' has a loss of its"),
        ({"model": {"name": "mlp", "patch_size": None, "width": None, "depth": None}},
         r"model\.name: 'mlp' serves .* take vit"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        assemble(scenario_of("simmim", changes))
