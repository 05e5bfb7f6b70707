"""A cluster that cannot be reached, and what its workers cannot compute, are refused."""

from typing import Any

import pytest

from fedlab.engine.ray.attach import check_reachable
from fedlab.engine.ray.engine import RayEngine
from fedlab.errors import FedlabError
from fedlab.run.rehearsal import rehearse
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with


def test_an_address_where_nobody_answers_is_refused_at_once() -> None:
    with pytest.raises(FedlabError, match=r"engine\.address.*127\.0\.0\.1:9"):
        check_reachable("127.0.0.1:9")


def test_an_engine_that_cannot_reach_its_cluster_says_so() -> None:
    import ray

    ray.shutdown()
    scenario = scenario_with(
        {"data": {"name": "iris"}, "model": {"name": "linear"}},
        engine={"name": "ray", "address": "127.0.0.1:9"},
    )
    with pytest.raises(FedlabError, match="ray start --head"):
        RayEngine(scenario.engine, scenario, load_federation(scenario))  # type: ignore[arg-type]


BATCH_NORM = {"name": "cnn", "layers": [{"channels": 4, "batch_norm": True}]}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "pieces of trained batch norm": (BATCH_NORM, {"micro_batch": 2}, "would normalise pieces"),
    "no blocks to compute again": ({"name": "linear"}, {"checkpointing": True}, "has no blocks"),
    "compiled and computed again": (
        {"name": "linear"},
        {"checkpointing": True, "compile": True},
        "decides by itself what it computes again",
    ),
}


@pytest.mark.parametrize("where", [{}, {"address": "127.0.0.1:9"}], ids=["here", "on a cluster"])
@pytest.mark.parametrize(("model", "keys", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_workers_cannot_compute_is_refused(
    where: dict[str, Any], model: dict[str, Any], keys: dict[str, Any], reason: str
) -> None:
    scenario = scenario_with({"model": model}, engine={"name": "ray", **where, **keys})
    with pytest.raises(FedlabError, match=reason):
        rehearse(scenario)
