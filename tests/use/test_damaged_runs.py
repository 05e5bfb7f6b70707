"""Whatever the files of a trained run hold: the network, or a sentence that names the file."""

from __future__ import annotations

import copy
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import FedlabError
from fedlab.trust import own_code
from fedlab.use.loading import load_trained
from tests.damaging import TRIES, places

VALUES: list[Any] = [
    *(True, -1, 0, 1, 3, 2**31, 1.5, 1e308, float("inf")),
    *("", "a", "os:path", "\x00", [], [[]], {}, {"a": 1}, [1, 2], ["a"], [1, 8, 10**6]),
]
FRAGMENTS = [b"", b"\x00", b"\xff" * 8, b"{", b"[" * 5000]


@st.composite
def damage(draw: st.DrawFn, whole: bytes, name: str) -> bytes:
    """Draw a damaged copy of a file."""
    if name.endswith(".safetensors") or draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, min(len(whole), 600)))
        return (
            whole[:at]
            + draw(st.sampled_from(FRAGMENTS))
            + draw(st.sampled_from([whole[at + 1 :], b""]))
        )
    is_toml = name.endswith(".toml")
    content = copy.deepcopy(tomllib.loads(whole.decode()) if is_toml else json.loads(whole))
    *path, last = draw(st.sampled_from(list(places(content, few=3))))
    table = content
    for key in path:
        table = table[key]
    table[last] = draw(st.sampled_from(VALUES))
    return (tomli_w.dumps(content) if is_toml else json.dumps(content)).encode()


@pytest.mark.parametrize("name", ["task.json", "scenario.toml", "model.safetensors"])
def test_a_damaged_run_is_refused_by_file(name: str, digits_run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(digits_run, tmp_path / "run"))
    whole = (folder / name).read_bytes()

    @TRIES
    @given(damage(whole, name))
    def holds(content: bytes) -> None:
        (folder / name).write_bytes(content)
        sentence = loaded(folder)
        # A scenario that is right by itself may still ask for another network than was trained.
        assert not sentence or str(folder) in sentence or sentence.startswith("model.")

    holds()


def loaded(folder: Path) -> str:
    """Return why a run is refused, or nothing."""
    try:
        with own_code(allowed=False):
            load_trained(folder)
    except FedlabError as error:
        return str(error)
    return ""


def test_a_network_beyond_memory_is_said(digits_run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(digits_run, tmp_path / "run"))
    task = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps(task | {"outputs": 2**31, "labels": []}))
    assert "scenario.toml and task.json describe cannot be built: " in loaded(folder)
