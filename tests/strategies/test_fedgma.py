"""FedGMA against its equation."""

import numpy as np

from fedlab.algorithm.vector_strategy import Reply
from strategies.fedgma import FedGma, FedGmaSettings


def test_changes_are_masked_by_the_agreement_of_their_signs() -> None:
    strategy = FedGma(FedGmaSettings(name="fedgma", agreement=0.5, server_rate=2.0))
    x = np.array([1.0, -1.0, 0.5], np.float32)
    changes = [np.array(c, np.float32) for c in ([1, 1, 1], [1, -1, 0], [1, 1, -1])]
    counts = [1.0, 1.0, 2.0]
    replies = [
        Reply(k, n, x + c, {}, {}) for k, (n, c) in enumerate(zip(counts, changes, strict=True))
    ]
    p = np.array(counts) / 4
    agreement = np.abs(sum(pk * np.sign(c) for pk, c in zip(p, changes, strict=True)))
    np.testing.assert_allclose(agreement, [1, 0.5, 0.25])
    mask = np.array([1, 1, 0.25])
    wanted = x + 2 * mask * sum(pk * c for pk, c in zip(p, changes, strict=True))
    np.testing.assert_allclose(strategy.step(1, x, replies), wanted, rtol=1e-6)
    assert strategy.record() == {"agreeing": 2 / 3}
