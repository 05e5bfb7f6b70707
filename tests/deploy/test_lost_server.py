"""Whoever waits for a run is told how it goes on where its server has ended."""

from pathlib import Path

import httpx
import pytest

from fedlab.deploy.submit import server_at_hand
from fedlab.errors import FedlabError


def test_a_run_with_a_checkpoint_goes_on_by_a_command(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "round-00003").mkdir(parents=True)
    with (
        pytest.raises(FedlabError, match=f"'fedlab deploy run --resume {tmp_path}' goes on"),
        server_at_hand(tmp_path),
    ):
        raise httpx.RemoteProtocolError("peer closed connection")


def test_a_run_without_one_has_only_ended(tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match=r"has ended$"), server_at_hand(tmp_path):
        raise httpx.ConnectError("refused")
