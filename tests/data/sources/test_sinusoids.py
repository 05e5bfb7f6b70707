"""Sinusoids: each client's points lie on one wave, made from seed and client alone."""

import numpy as np

from fedlab.data.sources.sinusoids import Sinusoids


def made(seed: int = 0):
    return Sinusoids(Sinusoids.Settings(clients=50, examples=12)).load(seed)


def test_every_client_has_a_wave_of_its_own_within_the_papers_bounds():
    population = made().train.population
    amplitudes = []
    for client in range(50):
        x, y = (part.double().numpy()[:, 0] for part in population.make(client))
        assert (np.abs(x) <= 5).all()
        # y = a sin x − b cos x is linear in a = A cos φ and b = A sin φ.
        basis = np.stack([np.sin(x), -np.cos(x)], 1)
        (a, b), *_ = np.linalg.lstsq(basis, y, rcond=None)
        np.testing.assert_allclose(basis @ [a, b], y, atol=1e-5)
        assert b >= -1e-5  # φ is in [0, π]
        amplitudes.append(np.hypot(a, b))
    assert 0.1 <= min(amplitudes) < 1.5
    assert 4 < max(amplitudes) <= 5


def test_clients_depend_on_seed_and_number_alone():
    one, two = made(), made()
    assert one.train.population.make(7)[1].equal(two.train.population.make(7)[1])
    assert not one.train.population.make(7)[1].equal(made(seed=1).train.population.make(7)[1])
    assert len(one.test) == 0
