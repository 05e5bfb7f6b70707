from __future__ import annotations

import io
import zipfile

import pytest
import tomli_w
from flwr.common.config import get_fab_config
from flwr.common.config import validate_config as flower_validates

from fedlab import __version__
from fedlab.deploy.bundle import COMPONENTS, check_bundle, make_bundle
from fedlab.errors import FedlabError


def bundle(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def project(components: object = COMPONENTS, version: str = __version__) -> str:
    return tomli_w.dumps(
        {
            "project": {"name": "fedlab", "version": version},
            "tool": {"flwr": {"app": {"publisher": "fedlab", "components": components}}},
        }
    )


def test_a_bundle_holds_no_code_and_is_accepted() -> None:
    made = make_bundle()
    assert zipfile.ZipFile(io.BytesIO(made)).namelist() == ["pyproject.toml"]
    assert made == make_bundle()
    check_bundle(made)


def test_flower_takes_the_bundle_for_an_app() -> None:
    valid, errors, _ = flower_validates(get_fab_config(make_bundle()), check_module=False)
    assert valid, errors


@pytest.mark.parametrize("name", ["fedlab/run/serverapp.py", "data.json", "../x.toml"])
def test_a_bundle_with_a_file_of_its_own_is_refused_and_the_file_named(name: str) -> None:
    with pytest.raises(FedlabError, match=name):
        check_bundle(bundle({"pyproject.toml": project(), name: ""}))


def test_a_bundle_that_names_other_components_is_refused() -> None:
    other = {**COMPONENTS, "clientapp": "os:system"}
    with pytest.raises(FedlabError, match="os:system"):
        check_bundle(bundle({"pyproject.toml": project(other)}))


def test_a_bundle_of_another_version_is_refused() -> None:
    with pytest.raises(FedlabError, match=r"fedlab 9\.9"):
        check_bundle(bundle({"pyproject.toml": project(version="9.9")}))


@pytest.mark.parametrize(
    "content",
    [
        b"no archive",
        bundle({}),
        bundle({"pyproject.toml": "= ="}),
        bundle({"pyproject.toml": "tool = 1"}),
        bundle({"pyproject.toml": "#" * (1 << 20)}),
    ],
)
def test_what_is_no_bundle_is_refused(content: bytes) -> None:
    with pytest.raises(FedlabError, match="bundle"):
        check_bundle(content)
