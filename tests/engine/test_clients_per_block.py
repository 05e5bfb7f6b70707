"""``engine.clients_per_block``: more workers find work, and every engine cuts the same blocks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from fedlab.engine import blocks
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with

BASE: dict[str, Any] = {
    "rounds": 2,
    "data": {"partition": {"clients": 6}},
    "model": {"name": "cnn", "layers": [{"channels": 2}]},
}


def weights(folder: Path, called: str, **engine: Any) -> bytes:
    made = RunFolder.create(folder, called, scenario_with(BASE, engine=engine))
    run(made)
    return (made.path / "model.safetensors").read_bytes()


def test_inline_and_ray_reach_the_same_bits_with_blocks_of_any_length(tmp_path: Path) -> None:
    for length in (2, 6):
        keys = {"clients_per_block": length}
        inline = weights(tmp_path, f"inline-{length}", name="inline", **keys)
        assert weights(tmp_path, f"ray-{length}", name="ray", workers=2, **keys) == inline


def test_workers_without_work_are_mentioned_once_with_the_key_that_gives_them_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blocks, "BLOCKS_PER_COHORT", 2)
    with caplog.at_level(logging.WARNING):
        weights(tmp_path, "few", name="ray", workers=3)
    assert caplog.text.count("1 of 3 workers have nothing to do") == 1
    assert "the 6 clients of a round make 2 blocks; engine.clients_per_block = 2 gives" in (
        caplog.text
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        weights(tmp_path, "enough", name="ray", workers=3, clients_per_block=2)
    assert "nothing to do" not in caplog.text
