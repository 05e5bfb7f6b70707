"""PowerSGD: Algorithm 1 in NumPy with warm start, exact on matrices of low rank, and its bytes."""

import numpy as np
import torch

from fedlab.training.task import Arrays
from tests.clients.processing.codec import arrived, encoded, processor, small_layout, tensors

LAYOUT = small_layout()
SIZE = LAYOUT.wire_parameters
GENERATOR = torch.Generator().manual_seed(6)


def matrices(update: torch.Tensor) -> dict[str, np.ndarray]:
    views = tensors(LAYOUT, update).items()
    return {n: view.reshape(len(view), -1).numpy() for n, view in views if view.ndim > 1}


def test_rounds_follow_algorithm_one_with_warm_start() -> None:
    own = processor("powersgd", LAYOUT, rank=2, error_feedback=False)
    kept: Arrays = {}
    right: dict[str, np.ndarray] = {}
    for number in range(3):
        update = torch.randn(SIZE, generator=GENERATOR)
        payload = encoded(own, update, kept, seed=number)
        came = matrices(arrived(own, payload))
        for name, matrix in matrices(update).items():
            if number:
                left = np.linalg.qr(matrix @ right[name])[0]
                np.testing.assert_allclose(came[name], left @ left.T @ matrix, atol=1e-4)
            # What the client keeps spans the rows of what it sent.
            right[name] = np.linalg.svd(came[name])[2][:2].T
        kept = payload.kept
    for name, sent in tensors(LAYOUT, update).items():
        if sent.ndim == 1:
            assert torch.equal(tensors(LAYOUT, arrived(own, payload))[name], sent)


def test_a_matrix_of_that_rank_arrives_whole() -> None:
    update = torch.randn(SIZE, generator=GENERATOR)
    for view in tensors(LAYOUT, update).values():
        if view.ndim > 1:
            thin = torch.randn(len(view), 2, generator=GENERATOR)
            wide = torch.randn(2, view.numel() // len(view), generator=GENERATOR)
            view.copy_((thin @ wide).view(view.shape))
    own = processor("powersgd", LAYOUT, rank=2)
    torch.testing.assert_close(arrived(own, encoded(own, update)), update, rtol=1e-3, atol=1e-4)


def test_subspace_iteration_finds_the_best_approximation_of_a_constant_update() -> None:
    own = processor("powersgd", LAYOUT, rank=2, error_feedback=False)
    update, kept = torch.randn(SIZE, generator=GENERATOR), Arrays()
    for number in range(150):
        payload = encoded(own, update, kept, seed=number)
        kept = payload.kept
    came = matrices(arrived(own, payload))
    for name, matrix in matrices(update).items():
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        np.testing.assert_allclose(came[name], (u[:, :2] * s[:2]) @ v[:2], atol=2e-2)


def test_a_matrix_takes_r_times_rows_and_columns() -> None:
    payload = encoded(processor("powersgd", LAYOUT, rank=2), torch.randn(SIZE))
    vectors = SIZE - 6 * 18 - 9 * 10
    assert payload.values.nbytes == 4 * (2 * (6 + 18) + 2 * (9 + 10) + vectors)
    assert not payload.along


def test_factors_that_would_be_no_smaller_are_not_made() -> None:
    payload = encoded(processor("powersgd", LAYOUT, rank=64), torch.randn(SIZE))
    assert payload.values.numel() == SIZE


def test_an_update_of_zeros_can_be_followed_by_another() -> None:
    own = processor("powersgd", LAYOUT, rank=2)
    kept = encoded(own, torch.zeros(SIZE)).kept
    assert arrived(own, encoded(own, torch.ones(SIZE), kept)).norm() > 1
