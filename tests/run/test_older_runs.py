"""Run folders that an older fedlab wrote are resumed, to the bits that it would have reached.

The folders were written after two rounds of three, before the packages were rearranged. One has
clients' states; the other names a clipping mod, which is an update processor now.
"""

import json
import shutil
from importlib import util
from pathlib import Path

import pytest

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder

OLDER = Path(__file__).parent / "older_runs"
WRITTEN_ON = ("x86_64", "AMD EPYC", "AVX2", "2.15", "2.4")
"""As in test_same_bits.py: other machines go on with other bits."""
spec = util.spec_from_file_location("same_bits", OLDER.parent.parent / "test_same_bits.py")
assert spec is not None
assert spec.loader is not None
same_bits = util.module_from_spec(spec)
spec.loader.exec_module(same_bits)


@pytest.mark.parametrize("name", ["stacked", "private"])
def test_an_older_run_is_resumed(tmp_path: Path, name: str) -> None:
    shutil.copytree(OLDER / name, tmp_path / name)
    folder = RunFolder.open(tmp_path / name)
    run(folder)
    summary = json.loads((folder.path / "summary.json").read_text())
    assert (summary["status"], summary["rounds"]) == ("finished", 3)
    assert [line["round"] for line in folder.lines("metrics.jsonl")] == [0, 1, 2, 3]
    if same_bits.machine() == WRITTEN_ON:
        assert summary["weights_sha256"] == same_bits.RECORDED[WRITTEN_ON][name]


def test_a_clipping_mod_is_an_update_processor_now() -> None:
    scenario = RunFolder.open(OLDER / "private").scenario
    assert [table.name for table in scenario.updates] == ["adaptive-clipping"]  # type: ignore[attr-defined]
