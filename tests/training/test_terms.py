import numpy as np
import pytest
import torch

from fedlab.training.terms import L1, L2, Linear, ParameterTerm, Proximal

WEIGHTS = np.array([0.5, -2.0, 3.0])
ANCHOR = np.array([1.0, -1.0, 0.0])

CASES = {
    "l1": (L1(0.3), 0.3 * 5.5, 0.3 * np.sign(WEIGHTS)),
    "l2": (L2(0.3), 0.15 * 13.25, 0.3 * WEIGHTS),
    "proximal": (
        Proximal(0.3, torch.tensor(ANCHOR)),
        0.15 * ((WEIGHTS - ANCHOR) ** 2).sum(),
        0.3 * (WEIGHTS - ANCHOR),
    ),
    "linear": (Linear(torch.tensor(ANCHOR)), (WEIGHTS * ANCHOR).sum(), ANCHOR),
}


@pytest.mark.parametrize("name", CASES)
def test_a_term_has_the_value_and_gradient_of_its_formula(name: str) -> None:
    term, value, gradient = CASES[name]
    weights = torch.tensor(WEIGHTS)
    assert term.value(weights).item() == pytest.approx(value)
    np.testing.assert_allclose(term.gradient(weights).numpy(), gradient)


@pytest.mark.parametrize("name", CASES)
def test_a_term_treats_stacked_clients_like_one_client_each(name: str) -> None:
    term: ParameterTerm = CASES[name][0]
    stacked = torch.stack([torch.tensor(WEIGHTS), torch.tensor(ANCHOR), torch.zeros(3)])
    for row, weights in enumerate(stacked):
        assert torch.equal(term.gradient(stacked)[row], term.gradient(weights))
        assert torch.equal(term.value(stacked)[row], term.value(weights))
