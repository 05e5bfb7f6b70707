import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fedlab.errors import FedlabError
from fedlab.training.optimizer import OptimizerSettings, ScheduleSettings, build_optimizer, decay

GRADIENTS = [np.array([0.5, -1.0]), np.array([0.25, 2.0]), np.array([-0.75, 0.1])]
START = np.array([1.0, 2.0])


def descend(settings: OptimizerSettings) -> np.ndarray:
    parameter = nn.Parameter(torch.tensor(START))
    optimizer = build_optimizer(settings, [parameter])
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient)
        if settings.weight_decay:
            decay(optimizer, settings.weight_decay)
        optimizer.step()
    return parameter.detach().numpy()


def test_momentum_accumulates_gradients() -> None:
    weights, velocity = START.copy(), np.zeros(2)
    for gradient in GRADIENTS:
        velocity = 0.9 * velocity + gradient
        weights -= 0.1 * velocity
    np.testing.assert_allclose(descend(OptimizerSettings(lr=0.1, momentum=0.9)), weights)


def test_nesterov_looks_ahead_along_the_velocity() -> None:
    weights, velocity = START.copy(), np.zeros(2)
    for gradient in GRADIENTS:
        velocity = 0.9 * velocity + gradient
        weights -= 0.1 * (gradient + 0.9 * velocity)
    settings = OptimizerSettings(lr=0.1, momentum=0.9, nesterov=True)
    np.testing.assert_allclose(descend(settings), weights)


@pytest.mark.parametrize(("name", "strength"), [("adam", 0.0), ("adamw", 0.2)])
def test_adam_follows_kingma_and_ba_and_adamw_decays_apart(name: str, strength: float) -> None:
    weights, first, second = START.copy(), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(GRADIENTS, 1):
        weights *= 1 - 0.1 * strength
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9**step), second / (1 - 0.999**step)
        weights -= 0.1 * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    settings = OptimizerSettings(name=name, lr=0.1, weight_decay=strength)
    np.testing.assert_allclose(descend(settings), weights, rtol=1e-6)


def test_rmsprop_divides_by_the_running_root_mean_square() -> None:
    weights, square = START.copy(), np.zeros(2)
    for gradient in GRADIENTS:
        square = 0.99 * square + 0.01 * gradient**2
        weights -= 0.1 * gradient / (np.sqrt(square) + 1e-8)
    np.testing.assert_allclose(descend(OptimizerSettings(name="rmsprop", lr=0.1)), weights)


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ValidationError, match="momentum"):
        OptimizerSettings(nesterov=True)


def test_schedules_follow_their_formulas() -> None:
    assert ScheduleSettings().factor(7, 10) == 1.0
    assert ScheduleSettings(name="step", every=2, gamma=0.5).factor(5, 10) == 0.25
    assert ScheduleSettings(name="exponential", gamma=0.9).factor(3, 10) == pytest.approx(0.729)
    assert ScheduleSettings(name="cosine").factor(5, 10) == pytest.approx(0.5)
    assert ScheduleSettings(name="linear", floor=0.2).factor(5, 10) == pytest.approx(0.6)


def test_warmup_rises_to_the_full_rate_where_the_schedule_starts() -> None:
    schedule = ScheduleSettings(name="cosine", warmup=0.4)
    rising = [schedule.factor(step, 10) for step in range(4)]
    assert rising == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert schedule.factor(4, 10) == pytest.approx(1.0)
    assert schedule.factor(9, 10) < 0.1


def test_an_optimiser_of_pytorchs_takes_the_keys_that_it_knows() -> None:
    settings = OptimizerSettings(name="torch.optim:Adagrad", lr=0.1, epsilon=0.01)
    weights, squares = START.copy(), np.zeros(2)
    for gradient in GRADIENTS:
        squares += gradient**2
        weights -= 0.1 * gradient / (np.sqrt(squares) + 0.01)
    np.testing.assert_allclose(descend(settings), weights)


def test_a_key_that_pytorchs_optimiser_has_not_is_refused() -> None:
    settings = OptimizerSettings(name="torch.optim:Adagrad", momentum=0.5)
    with pytest.raises(FedlabError, match=r"optimizer\.momentum: 'torch\.optim:Adagrad' has no"):
        build_optimizer(settings, [nn.Parameter(torch.zeros(2))])


def test_a_class_that_is_no_optimiser_is_refused() -> None:
    with pytest.raises(ValidationError, match="'builtins:dict' is neither a LocalOptimizer nor"):
        OptimizerSettings(name="builtins:dict")


def test_an_unknown_optimiser_is_refused_with_all_known_ones() -> None:
    with pytest.raises(ValidationError, match="'sgd', 'adam', 'adamw' or 'rmsprop'"):
        OptimizerSettings(name="sgdd")
