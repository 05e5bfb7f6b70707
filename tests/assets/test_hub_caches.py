"""What other libraries have downloaded is found by its folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlab.assets import hub_caches


@pytest.mark.parametrize(
    "file", ["hub/models--timm--resnet18/x", "torch/hub/checkpoints/resnet18.pth"]
)
def test_weights_in_either_cache_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "hub/datasets--imdb").mkdir(parents=True)
    assert not hub_caches.hold_weights()
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_bytes(b"")
    assert hub_caches.hold_weights()
