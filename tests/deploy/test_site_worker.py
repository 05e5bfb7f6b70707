from __future__ import annotations

import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from fedlab.deploy.site_worker import answer
from fedlab.errors import FedlabError
from fedlab.registry import clients
from fedlab.trust import own_code


def test_nothing_of_a_bundle_with_code_is_run_or_imported(tmp_path: Path) -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("pyproject.toml", "")
        archive.writestr("planted_module.py", f"open({str(tmp_path / 'ran')!r}, 'w')")
    nobody: Any = None
    with pytest.raises(FedlabError, match=r"planted_module\.py"):
        answer(nobody, nobody, content.getvalue())
    assert "planted_module" not in sys.modules
    assert not (tmp_path / "ran").exists()


def test_a_site_imports_classes_of_the_modules_that_its_file_lists_alone() -> None:
    with own_code(["clients.supervised"]):
        assert clients.get("clients.supervised:Supervised").__name__ == "Supervised"
        with pytest.raises(FedlabError, match=r"permissions\.modules"):
            clients.get("clients:Supervised")
        with pytest.raises(FedlabError, match=r"permissions\.modules"):
            clients.get("os:system")
    with own_code([]), pytest.raises(FedlabError, match=r"permissions\.modules"):
        clients.get("clients.supervised:Supervised")
