from collections.abc import Callable

import pytest
import torch

from fedlab.training.terms import L1, L2, Linear, ParameterTerm, Proximal

WEIGHTS = torch.tensor([0.5, -2.0, 3.0], dtype=torch.float64)
ANCHOR = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)

Formula = Callable[[torch.Tensor], torch.Tensor]

CASES: dict[str, tuple[ParameterTerm, Formula]] = {
    "l1": (L1(0.3), lambda w: 0.3 * w.abs().sum()),
    "l2": (L2(0.3), lambda w: 0.3 / 2 * (w**2).sum()),
    "proximal": (Proximal(0.3, ANCHOR), lambda w: 0.3 / 2 * ((w - ANCHOR) ** 2).sum()),
    "linear": (Linear(ANCHOR), lambda w: ANCHOR @ w),
}


@pytest.mark.parametrize("name", CASES)
def test_a_terms_gradient_is_that_of_its_formula(name: str) -> None:
    term, formula = CASES[name]
    weights = WEIGHTS.clone().requires_grad_()
    (expected,) = torch.autograd.grad(formula(weights), weights)
    torch.testing.assert_close(term.gradient(WEIGHTS), expected)


@pytest.mark.parametrize("name", CASES)
def test_a_term_treats_stacked_clients_like_one_client_each(name: str) -> None:
    term, _ = CASES[name]
    stacked = torch.stack([WEIGHTS, ANCHOR, torch.zeros(3, dtype=torch.float64)])
    for row, weights in enumerate(stacked):
        assert torch.equal(term.gradient(stacked)[row], term.gradient(weights))
