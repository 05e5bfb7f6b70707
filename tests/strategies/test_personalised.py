"""The servers of personalised algorithms against their papers' equations."""

from typing import Any

import numpy as np
import torch

from fedlab.algorithm.strategy import build_strategy
from fedlab.algorithm.vector_strategy import Reply
from fedlab.registry import strategies


def built(name: str, **keys: Any) -> Any:
    return build_strategy(strategies.get(name).Settings(name=name, **keys))


def reply(client: int, weights: list[float], **arrays: list[float]) -> Reply:
    named = {name.replace("_", "-"): np.array(values) for name, values in arrays.items()}
    return Reply(client, 1.0, np.array(weights), named, {})


def test_pfedme_goes_beta_of_the_way() -> None:
    strategy = built("pfedme", beta=2.0)
    new = strategy.step(1, np.array([1.0, 1.0]), [reply(2, [2.0, 0.0]), reply(3, [4.0, 0.0])])
    # (1 - 2) · 1 + 2 · 3 and (1 - 2) · 1 + 2 · 0.
    np.testing.assert_allclose(new, [5.0, -1.0])
    assert strategy.settings.weighting == "clients"


def test_fedproto_weighs_by_examples_and_keeps_what_nobody_holds() -> None:
    strategy = built("fedproto", prototype_attraction=0.3)
    assert strategy.values(1) == {"prototype-attraction": 0.3}
    assert strategy.broadcast(1, np.empty(0)) == {}
    # Three classes of two features: client 2 has 1 and 3 examples, client 3 has 4 of class 1.
    first = [
        reply(2, [], prototype_sums=[1, 2, 3, 0, 0, 0], prototype_counts=[1, 3, 0]),
        reply(3, [], prototype_sums=[0, 0, 1, 8, 0, 0], prototype_counts=[0, 4, 0]),
    ]
    strategy.step(1, np.empty(0), first)
    sent = strategy.broadcast(2, np.empty(0))
    np.testing.assert_allclose(sent["prototypes"], [1, 2, 4 / 7, 8 / 7, 0, 0])
    np.testing.assert_array_equal(sent["prototypes-known"], [1, 1, 0])
    second = [reply(3, [], prototype_sums=[0, 0, 0, 0, 6, 2], prototype_counts=[0, 0, 2])]
    strategy.step(2, np.empty(0), second)
    sent = strategy.broadcast(3, np.empty(0))
    np.testing.assert_allclose(sent["prototypes"], [1, 2, 4 / 7, 8 / 7, 3, 1])
    np.testing.assert_array_equal(sent["prototypes-known"], [1, 1, 1])
    again = built("fedproto")
    again.load_state_dict(strategy.state_dict())
    np.testing.assert_array_equal(again.broadcast(4, np.empty(0))["prototypes"], sent["prototypes"])


def test_prototypes_are_the_means_of_all_clients_examples_in_one() -> None:
    drawn = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)).double().numpy()
    classes = np.array([0, 0, 0, 0, 1, 1, 0, 1, 1])
    strategy, parts = built("fedproto"), []
    for client, rows in ((2, slice(0, 3)), (3, slice(3, 9))):
        of_class = np.eye(2)[classes[rows]]
        sums = (of_class.T @ drawn[rows]).ravel().tolist()
        parts.append(
            reply(client, [], prototype_sums=sums, prototype_counts=of_class.sum(0).tolist())
        )
    strategy.step(1, np.empty(0), parts)
    pooled = [drawn[classes == 0].mean(0), drawn[classes == 1].mean(0)]
    np.testing.assert_allclose(strategy.prototypes, pooled)
