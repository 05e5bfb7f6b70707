"""A Ray cluster that cannot be reached is refused."""

import pytest

from fedlab.engine.ray.attach import check_reachable
from fedlab.engine.ray.engine import RayEngine
from fedlab.errors import FedlabError
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
