"""What a site says of itself is what its file permits and the scenario asks for, and no more."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from fedlab.engine.worker.introduction import introduction_of, read_introduction, what_leaves
from fedlab.engine.worker.local_site import Place, scenario_at
from fedlab.errors import FedlabError
from fedlab.scenario import dumps
from tests.data.sites.files import PICTURES, TABLE, site_of_pictures, site_of_rows, some_rows
from tests.shared import scenario_with

ALL = "statistics = true\nclass_counts = true\nnames = true"


def text_of(schema: dict[str, Any], **keys: Any) -> str:
    return dumps(scenario_with({"data": {"partition": None, **schema, "sites": 2, **keys}}))


def test_what_leaves_is_exactly_what_is_sent(tmp_path: Path) -> None:
    path = site_of_rows(tmp_path, "north", some_rows(20, 0))
    sent = what_leaves(path, text_of(TABLE))
    assert sent["introduction"]["held"] == 20
    assert sent["introduction"]["name"] == ""
    assert set(sent["statistics"]["moments"]) == {"count", "mean", "squares"}
    assert sent["statistics"]["class_counts"] == []
    assert "north" not in json.dumps(sent)
    assert str(tmp_path) not in json.dumps(sent)


def test_names_and_counts_leave_where_both_sides_say_so(tmp_path: Path) -> None:
    path = site_of_rows(tmp_path, "north", some_rows(20, 0), permissions=ALL)
    sent = what_leaves(path, text_of(TABLE, collect=["names", "class_counts"]))
    assert sent["introduction"]["name"] == "north"
    assert sum(sent["statistics"]["class_counts"]) == 20
    quiet = what_leaves(path, text_of(TABLE))
    assert quiet["introduction"]["name"] == ""
    assert quiet["statistics"]["class_counts"] == []


def test_without_a_scenario_it_says_what_may_leave(tmp_path: Path) -> None:
    path = site_of_rows(tmp_path, "north", some_rows(5, 0), permissions=ALL)
    said = what_leaves(path, None)["may leave"]
    assert any("each class" in line for line in said)
    path = site_of_rows(tmp_path, "north", some_rows(5, 0), permissions="")
    assert not any("each class" in line for line in what_leaves(path, None)["may leave"])


def test_a_difference_is_told_without_the_sites_words_and_logged_with_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = site_of_pictures(tmp_path, "north", {"secret": 1})
    with caplog.at_level(logging.WARNING):
        said = introduction_of(text_of(PICTURES), Place(path, 0, 2))
    assert len(said.differences) == 1
    assert "secret" not in said.model_dump_json()
    assert "secret" in caplog.text


def test_data_that_cannot_be_read_are_named_in_the_sites_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = site_of_rows(tmp_path, "north", some_rows(5, 0))
    (tmp_path / "north.csv").unlink()
    with caplog.at_level(logging.WARNING):
        said = introduction_of(text_of(TABLE), Place(path, 0, 2))
    assert said.differences == ("its data or its file cannot be read; its own log says why",)
    assert "north.csv" in caplog.text


@pytest.mark.parametrize("table", ["model", "client", "strategy"])
def test_a_module_that_the_site_does_not_list_is_not_imported(tmp_path: Path, table: str) -> None:
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')\n")
    path = site_of_pictures(tmp_path, "north", {"red": 2})
    text = text_of(PICTURES).replace(f"[{table}]\nname = ", f"[{table}]\nname = 'stranger:It' # ")
    assert "stranger:It" in text
    said = introduction_of(text, Place(path, 0, 2))
    assert said.differences == (
        "[permissions] modules does not list 'stranger', which the scenario names",
    )


def test_a_library_of_models_is_no_module(tmp_path: Path) -> None:
    path = site_of_pictures(tmp_path, "north", {"red": 2})
    text = text_of(PICTURES).replace('name = "mlp"', 'name = "transformers:none"', 1)
    with pytest.raises(FedlabError) as error:
        scenario_at(text, Place(path, 0, 2))
    assert "permissions" not in str(error.value)


def test_what_is_no_introduction_is_refused() -> None:
    with pytest.raises(FedlabError, match="its introduction is none"):
        read_introduction('{"client": -1}')
