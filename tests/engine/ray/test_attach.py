"""Why a cluster cannot be attached to is one sentence, whatever Ray raises for it."""

from __future__ import annotations

from typing import Any

import pytest

from fedlab.engine.ray import attach as attaching
from fedlab.engine.ray.attach import attach
from fedlab.errors import FedlabError

FAILED = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")


class Refusing:
    """Stands for Ray: raises what it is given, as Ray does from another error."""

    def __init__(self, error: Exception, cause: Exception | None) -> None:
        self.error, self.cause = error, cause

    def init(self, **options: Any) -> None:
        raise self.error from self.cause


@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        (FAILED, RuntimeError("No node info found matching attributes: ''"), "is no node of the"),
        (FAILED, RuntimeError("Failed to get cluster ID"), "does not let this process in; if it "),
        (RuntimeError("Version mismatch: Ray 2.1"), None, "have different versions of Ray or Pyt"),
        (RuntimeError("something\nelse"), None, "cannot attach .*RuntimeError: something else"),
    ],
)
def test_a_refusal_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Exception | None, said: str
) -> None:
    monkeypatch.setattr(attaching, "check_reachable", lambda address: None)
    with pytest.raises(FedlabError, match=rf"^engine\.address: .*{said}"):
        attach(Refusing(error, cause), "10.0.0.1:6379", {})


def test_auto_without_a_cluster_says_how_to_join_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "cluster_here", lambda: None)
    with pytest.raises(FedlabError, match="this machine is no node of a Ray cluster"):
        attach(Refusing(FAILED, None), "auto", {})
