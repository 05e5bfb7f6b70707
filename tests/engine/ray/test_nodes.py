"""Nodes of a cluster: workers go where there is room, and nobody waits for what has gone."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest

from fedlab.engine.ray import nodes
from fedlab.engine.ray.nodes import Cluster
from fedlab.engine.ray.places import RayLost
from fedlab.errors import FedlabError


class Fake:
    """Stands for Ray and for the look at nodes: what they say is set by the test."""

    def __init__(self, **cpus: float) -> None:
        self.alive: dict[str, dict[str, float]] = {n: {"CPU": c} for n, c in cpus.items()}
        self.lacks: dict[str, str] = {}
        self.asked: list[str] = []
        self.found: list[str] = []
        self.ended: list[str] = []

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": name,
                "Alive": True,
                "Resources": resources,
                "NodeManagerHostname": f"host-{name}",
                "NodeManagerAddress": "10.0.0.1",
            }
            for name, resources in self.alive.items()
        ]

    def begin(self, node: str, name: str) -> None:
        self.asked.append(node)

    def findings(self) -> dict[str, str]:
        found, self.asked = self.asked, []
        return {node: self.lacks.get(node, "") for node in found}

    def end(self, node: str) -> None:
        self.ended.append(node)


def cluster(fake: Fake, most: int | None = None, gpus: float = 0.0, cpus: float = 1.0) -> Cluster:
    return Cluster(fake, {"num_cpus": cpus, "num_gpus": gpus}, most, fake, None)


def changed(places: Cluster, fake: Fake) -> None:
    """Let the cluster see what the fake says now."""
    places._listed = fake.nodes()
    places.check()


@pytest.fixture(autouse=True)
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests say when nodes are listed."""
    monkeypatch.setattr(Cluster, "_ask", lambda self: None)


def test_a_head_without_cpus_gets_no_worker_and_the_others_as_many_as_fit() -> None:
    places = cluster(Fake(head=0, a=2, b=5), cpus=2.0)
    assert places.settle() == 3
    assert Counter(places.vacancies(Counter())) == {"a": 1, "b": 2}
    assert Counter(places.vacancies(Counter({"b": 2}))) == {"a": 1}


def test_a_node_has_no_more_workers_than_its_memory_holds() -> None:
    fake = Fake(small=8, large=8)
    listed = [
        {**node, "Resources": {**node["Resources"], "memory": memory}}
        for node, memory in zip(fake.nodes(), (5e9, 100e9), strict=True)
    ]
    fake.nodes = lambda: listed  # type: ignore[method-assign]
    options = {"num_cpus": 1.0, "num_gpus": 0.0, "memory": 2e9}
    places = Cluster(fake, options, None, fake, None)
    assert places.settle() == 2 + 8
    assert Counter(places.vacancies(Counter())) == {"small": 2, "large": 8}
    with pytest.raises(
        FedlabError, match=r"11 workers of 1 CPUs and 2 GB do not .* 105.0 GB; at most 10"
    ):
        Cluster(fake, options, 11, fake, None).settle()


def test_fewer_workers_than_fit_are_spread_over_the_nodes() -> None:
    places = cluster(Fake(a=4, b=4, c=4), most=3)
    assert places.settle() == 3
    assert sorted(map(str, places.vacancies(Counter()))) == ["a", "b", "c"]


def test_more_workers_than_fit_are_refused() -> None:
    with pytest.raises(FedlabError, match=r"engine\.workers: 9 workers of 1 CPUs .* at most 2$"):
        cluster(Fake(a=1, b=1), most=9).settle()


def test_a_worker_takes_its_share_of_a_gpu() -> None:
    fake = Fake(a=8, b=8)
    fake.alive["a"]["GPU"] = 1.0
    places = cluster(fake, gpus=0.5)
    assert places.settle() == 2
    assert places.vacancies(Counter()) == ["a", "a"]


@pytest.mark.parametrize("nodes_there", [{}, {"head": 0.0}])
def test_a_cluster_without_room_is_refused(nodes_there: dict[str, float]) -> None:
    with pytest.raises(FedlabError, match=r"^engine\.address: no node .* room for a worker of 1 C"):
        cluster(Fake(**nodes_there)).settle()


def test_a_node_that_lacks_something_is_named_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = Fake(a=1, b=1)
    fake.lacks["a"] = "it has no torch"
    places = cluster(fake)
    assert places.settle() == 1
    assert places.vacancies(Counter()) == ["b"]
    assert caplog.messages == ["node host-a (10.0.0.1, a) is left out: it has no torch"]
    fake.lacks["b"] = "neither"
    with pytest.raises(FedlabError, match=r"host-a .*: it has no torch; node host-b .*: neither"):
        cluster(fake).settle()


def test_a_node_that_takes_its_time_joins_the_run_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "SECONDS_TO_BEGIN", -1.0)
    fake = Fake(quick=1, slow=2)
    answers = fake.findings
    fake.findings = lambda: {"quick": ""} if fake.asked else {}  # type: ignore[method-assign]
    places = cluster(fake, most=3)
    assert places.settle() == 3
    assert places.vacancies(Counter()) == ["quick"]
    fake.findings = answers  # type: ignore[method-assign]
    changed(places, fake)
    assert Counter(places.vacancies(Counter())) == {"quick": 1, "slow": 2}
    assert caplog.messages == [
        "node host-slow (10.0.0.1, slow) has joined, with room for 2 workers"
    ]


def test_nodes_go_and_join_and_each_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    fake = Fake(a=1, b=1)
    places = cluster(fake)
    places.settle()
    del fake.alive["a"]
    fake.alive["c"] = {"CPU": 2.0}
    for _ in range(3):
        changed(places, fake)
    assert places.is_gone("a")
    assert not places.is_gone("b")
    assert Counter(places.vacancies(Counter({"b": 1}))) == {"c": 2}
    gone, joined = caplog.messages
    assert gone.startswith("node host-a (10.0.0.1, a) is gone: its clients are run again elsewhere")
    assert joined == "node host-c (10.0.0.1, c) has joined, with room for 2 workers"
    assert fake.ended == ["a"]


def test_nobody_waits_for_ever_for_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(a=1)
    places = cluster(fake)
    places.settle()
    fake.alive.clear()
    changed(places, fake)
    monkeypatch.setattr(nodes, "SECONDS_WITHOUT_NODES", -1.0)
    with pytest.raises(RayLost, match="no node has been left to run clients"):
        changed(places, fake)


def test_a_head_that_does_not_answer_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    places = cluster(Fake(a=1))
    places.settle()
    monkeypatch.setattr(nodes, "SECONDS_WITHOUT_ANSWER", -1.0)
    with pytest.raises(RayLost, match="the head of the Ray cluster has not answered"):
        places.check()


def test_a_node_that_never_answers_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "SECONDS_TO_LOOK", -1.0)
    fake = Fake(a=1)
    monkeypatch.setattr(fake, "findings", dict)
    with pytest.raises(FedlabError, match="it did not answer within"):
        cluster(fake).settle()
