"""Ray's early start: begun where the scenario asks for Ray, and never in the way where it fails."""

from typing import Any

import pytest

from fedlab.engine.ray import start as ray_process
from fedlab.engine.ray.start import RayStart, address_of, ensure_started, start_early
from fedlab.errors import FedlabError


class Started:
    """Stands for Ray: notes how it was started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import ray

        self.inits: list[dict[str, Any]] = []
        self.workers = 0
        self.fails = False
        monkeypatch.setattr(ray, "init", self._init)
        monkeypatch.setattr(ray, "is_initialized", lambda: bool(self.inits))
        monkeypatch.setattr(ray_process, "start_worker", self._worker)

    def _init(self, **options: Any) -> None:
        if self.fails:
            raise RuntimeError("no room")
        self.inits.append(options)

    def _worker(self, ray: Any, options: dict[str, Any]) -> str:
        self.workers += 1
        return f"worker {self.workers}"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_process, "_early", [])
    monkeypatch.setattr(ray_process.fork_server, "spawn", lambda: None)
    return Started(monkeypatch)


def wait() -> RayStart:
    (early,) = ray_process._early
    assert early.ready.wait(60)
    return early


@pytest.mark.parametrize("table", [{"workers": 3}, {"name": "ray", "workers": 3}])
def test_ray_and_its_workers_are_there_before_the_engine_asks(
    started: Started, table: dict[str, Any]
) -> None:
    start_early(table)
    wait()
    assert started.workers == 3
    _, workers = ensure_started(None)
    assert workers == ["worker 1", "worker 2", "worker 3"]
    assert len(started.inits) == 1
    assert started.inits[0]["address"] == "local"


def test_early_workers_serve_one_engine_only(started: Started) -> None:
    start_early({"workers": 1})
    assert ensure_started(None)[1] == ["worker 1"]
    assert ensure_started(None)[1] == []
    assert len(started.inits) == 1


def test_for_another_place_it_is_started_anew_and_for_the_same_one_it_is_not(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach(ray: Any, address: str, options: dict[str, Any]) -> None:
        ray.init(address=address, **options)

    monkeypatch.setattr(ray_process, "attach", attach)
    start_early({"workers": 1})
    for address in (None, "head:6379", "head:6379", None):
        ensure_started(address, is_forked=False)
    assert [options["address"] for options in started.inits] == ["local", "head:6379", "local"]


def test_it_is_begun_once(started: Started) -> None:
    start_early({"workers": 1})
    start_early({"workers": 2})
    wait()
    assert started.workers == 1


def test_other_engines_start_no_ray(started: Started) -> None:
    start_early({"name": "inline"})
    assert ray_process._early == []


@pytest.mark.parametrize(
    "table",
    [{"workers": "many"}, {"workers": 2, "gpus_per_worker": 1}],
    ids=["not yet checked", "needs accounts"],
)
def test_with_an_unknown_number_of_workers_only_ray_is_started(
    started: Started, table: dict[str, Any]
) -> None:
    start_early(table)
    wait()
    assert (len(started.inits), started.workers) == (1, 0)


def test_a_table_that_is_none_is_left_to_the_check(started: Started) -> None:
    start_early("ray")
    wait()
    assert len(started.inits) == 1


@pytest.mark.parametrize("is_forked", [True, False])
def test_a_late_start_spawns_a_fork_server_unless_ray_shall_start_workers(
    started: Started, monkeypatch: pytest.MonkeyPatch, is_forked: bool
) -> None:
    spawned: list[None] = []
    monkeypatch.setattr(ray_process.fork_server, "spawn", lambda: spawned.append(None))
    assert ensure_started(None, is_forked)[1] == []
    assert (len(started.inits), len(spawned)) == (1, int(is_forked))


@pytest.mark.parametrize("forks_this_process", [True, False])
def test_where_this_process_cannot_be_forked_workers_are_forked_off_another(
    started: Started, monkeypatch: pytest.MonkeyPatch, forks_this_process: bool
) -> None:
    spawned: list[None] = []
    monkeypatch.setattr(ray_process.fork_server, "start", lambda: None)
    monkeypatch.setattr(ray_process.fork_server, "spawn", lambda: spawned.append(None))
    start_early({"workers": 1}, forks_this_process)
    wait()
    assert (len(started.inits), len(spawned)) == (1, 1)


def test_what_went_wrong_early_is_reported_when_ray_is_needed(started: Started) -> None:
    started.fails = True
    start_early({"workers": 1})
    wait()
    with pytest.raises(FedlabError, match=r"Ray did not start \(no room\)"):
        ensure_started(None)


def test_the_address_is_the_scenarios_or_else_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert address_of({"address": "mine:1"}) == "mine:1"
    assert address_of({}) == "head:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    assert address_of({}) is None
