"""A scenario of sites is checked without their data, as the server of a deployment has it."""

from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.run.rehearsal import rehearse
from fedlab.scenario import Scenario
from tests.data.sites.files import PICTURES
from tests.shared import scenario_with


def scenario(*changes: Any) -> Scenario:
    return scenario_with({"data": {"partition": None, **PICTURES, "sites": 3}}, *changes)


def test_it_is_valid_without_the_data() -> None:
    assert "the data are at the sites" in rehearse(scenario())[0]


def test_sites_evaluate_where_the_server_has_no_test_data() -> None:
    assert scenario().evaluation.federated
    assert not scenario({"evaluation": {"federated": False}}).evaluation.federated
    test = {"name": "imagefolder", "path": "pictures"}
    assert not scenario({"data": {"test": test}}).evaluation.federated


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluation": {"baselines": ["centralised"]}}, "evaluation.baselines"),
        ({"client": {"class_weights": "balanced"}}, "data.collect = \\['class_counts'\\]"),
        ({"data": {"partition": {"name": "iid", "clients": 2}}}, "data.partition"),
        ({"strategy": {"name": "fltrust", "root_examples": 5}}, "strategy.root_examples"),
    ],
)
def test_what_a_deployment_cannot_do_is_said(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        rehearse(scenario(changes))
