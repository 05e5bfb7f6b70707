"""Count sketches: linear, unbiased, and read as Algorithm 1 of Rothchild et al. says."""

import numpy as np
import pytest
import torch

from clients.processing.count_sketch import CountSketch, CountSketchSettings
from fedlab.algorithm.processing import Payload
from tests.clients.processing.codec import received

SIZE, SEED = 400, 7


def own(size: float = 0.5, **keys: float) -> CountSketch:
    return CountSketch(CountSketchSettings(name="count-sketch", size=size, **keys))


def vector(seed: int) -> torch.Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))


def test_a_row_adds_signed_numbers_at_their_places() -> None:
    sketch, x = own(), vector(1)
    table = np.zeros((5, 40), np.float64)
    for row, (places, signs) in enumerate(sketch._hashes(SEED, SIZE, 40)):
        assert set(signs.tolist()) == {-1.0, 1.0}
        assert len(set(places.tolist())) == 40
        for i in range(SIZE):
            table[row, places[i]] += float(signs[i] * x[i])
    np.testing.assert_allclose(sketch.sketch(x, SEED), table, atol=1e-5)
    assert sketch.sketch(x, SEED).nbytes == 4 * SIZE * 0.5


def test_the_sketch_of_a_sum_is_the_sum_of_sketches() -> None:
    sketch = own()
    both = sketch.sketch(vector(1), SEED) + 2 * sketch.sketch(vector(2), SEED)
    torch.testing.assert_close(sketch.sketch(vector(1) + 2 * vector(2), SEED), both)


def test_one_rows_estimates_are_unbiased_with_the_variance_of_the_rest() -> None:
    sketch, x = own(rows=1), vector(3)
    found = torch.stack(
        [sketch.estimates(sketch.sketch(x, seed), seed, SIZE) for seed in range(600)]
    )
    assert (found.mean(0) - x).abs().max() < 5 * found.std(0).max() / 600**0.5
    # Var = Σ_{j≠i} xⱼ² / c (Charikar et al. 2002, Lemma 1).
    expected = (x.square().sum() - x.square()) / 200
    assert float(found.var(0).mean()) == pytest.approx(float(expected.mean()), rel=0.1)


def test_few_large_numbers_are_found_among_many() -> None:
    x = torch.zeros(SIZE)
    x[[3, 77, 390]] = torch.tensor([5.0, -4.0, 9.0])
    sketch = own(size=1.0, rows=9, fraction=3 / SIZE)
    payload = Payload(sketch.sketch(x, SEED).flatten(), {"length": torch.tensor([SIZE])})
    torch.testing.assert_close(sketch.decode(payload, received(0, seed=SEED)), x)


@pytest.mark.parametrize("masking", [True, False])
@pytest.mark.parametrize("error_feedback", [True, False])
def test_rounds_follow_algorithm_one(error_feedback: bool, masking: bool) -> None:
    keys = {"momentum": 0.5, "error_feedback": error_feedback, "masking": masking}
    sketch = own(fraction=0.01, **keys)
    speed = error = torch.zeros(5, 40)
    for number in range(4):
        mean = sketch.sketch(vector(number), SEED)
        speed = 0.5 * speed + mean
        error = error + speed if error_feedback else speed
        said = sketch.estimates(error, SEED, SIZE).numpy()
        payload = Payload(mean.flatten(), {"length": torch.tensor([SIZE])})
        # Its state goes through a checkpoint in each round.
        again = own(fraction=0.01, **keys)
        again.load_state_dict(sketch.state_dict())
        sketch = again
        came = sketch.decode_mean(payload, received(0, seed=SEED))
        # Among numbers that are told to be alike, either may be taken.
        read = came.numpy() != 0
        np.testing.assert_allclose(came.numpy()[read], said[read], atol=1e-4)
        largest = np.sort(np.abs(said))[-4:]
        np.testing.assert_allclose(np.sort(np.abs(came.numpy()))[-4:], largest, atol=1e-4)
        assert read.sum() == 4
        table = sketch.sketch(came, SEED)
        if masking:
            error, speed = error.where(table == 0, 0.0), speed.where(table == 0, 0.0)
        else:
            error = error - table


def test_with_masking_what_is_left_stays_bounded() -> None:
    sketch, update = own(fraction=0.05), vector(9)
    payload = Payload(sketch.sketch(update, SEED).flatten(), {"length": torch.tensor([SIZE])})
    lengths = []
    for _ in range(60):
        sketch.decode_mean(payload, received(0, seed=SEED))
        assert sketch.error is not None
        lengths.append(np.linalg.norm(sketch.error))
    assert max(lengths[30:]) < 1.5 * max(lengths[:30])
