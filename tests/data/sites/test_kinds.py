"""A site's data are held against the schema, and what differs is said without its own words."""

from pathlib import Path

import pytest
import torch

from fedlab.data.sites.rows import Differs, SiteRows
from fedlab.scenario import Scenario
from fedlab.scenario.site import load_site
from fedlab.scenario.site_data import read_site
from tests.data.sites.files import (
    PICTURES,
    TABLE,
    site_of_pictures,
    site_of_rows,
    some_rows,
    written,
)
from tests.shared import scenario_with


def scenario(data: dict[str, object], **keys: object) -> Scenario:
    return scenario_with({"data": {"partition": None, **data, "sites": 2, **keys}})


def read(schema: Scenario, path: Path) -> SiteRows:
    return read_site(schema, load_site(path))


def told(schema: Scenario, path: Path) -> tuple[str, str]:
    """Return what the site and what the server is told of the differences."""
    with pytest.raises(Differs) as error:
        read(schema, path)
    found = error.value.differences
    return "; ".join(d.whole for d in found), "; ".join(d.told for d in found)


def test_classes_have_the_federations_numbers_whichever_a_site_holds(tmp_path: Path) -> None:
    rows = read(scenario(PICTURES), site_of_pictures(tmp_path, "a", {"blue": 3}))
    assert rows.examples.targets.tolist() == [2, 2, 2]
    assert rows.examples.inputs.shape == (3, 3, 8, 8)


def test_a_part_that_a_site_holds_out_stands_last(tmp_path: Path) -> None:
    path = site_of_pictures(tmp_path, "a", {"red": 1})
    (tmp_path / "a").rename(tmp_path / "all")
    (tmp_path / "a").mkdir()
    (tmp_path / "all").rename(tmp_path / "a" / "train")
    site_of_pictures(tmp_path / "a", "test", {"green": 2})
    (tmp_path / "a" / "test.toml").unlink()
    rows = read(scenario(PICTURES), path)
    assert rows.held_out == 2
    assert rows.examples.targets.tolist() == [0, 1, 1]


def test_a_site_may_list_its_pictures_in_a_table(tmp_path: Path) -> None:
    path = site_of_pictures(tmp_path, "a", {"red": 2, "blue": 1})
    lines = ["red/0.png,red,train", "red/1.png,red,test", "blue/0,blue,train"]
    (tmp_path / "a" / "list.csv").write_text("\n".join(["path,label,split", *lines]) + "\n")
    written(tmp_path, "a", 'name = "imagefolder"\npath = "a/list.csv"\npart_column = "split"', "")
    rows = read(scenario(PICTURES), path)
    assert rows.held_out == 1
    assert rows.examples.targets.tolist() == [0, 2, 0]


def test_a_strange_class_is_named_at_the_site_alone(tmp_path: Path) -> None:
    whole, server = told(scenario(PICTURES), site_of_pictures(tmp_path, "a", {"secret": 1}))
    assert "class 'secret' is not among the federation's 'red', 'green', 'blue'" in whole
    assert "secret" not in server
    assert "not among the federation's" in server


@pytest.mark.parametrize(
    ("header", "row", "at_the_site", "at_the_server"),
    [
        ("years,ward,ill", "50,x,no", "column 'age' is missing", "column 'age' is missing"),
        ("age,ward,ill", "50,q7,no", "holds 'q7'", "column 'ward' holds values that"),
        (
            "age,ward,ill",
            "ancient,x,no",
            "'ancient' is not a number",
            "column 'age' holds something",
        ),
        ("age,ward,ill", "50,,no", "there is no value", "column 'ward' lacks values"),
        ("age,ward,ill", "50,x,perhaps", "class 'perhaps' is not", "it holds a class that"),
    ],
)
def test_a_column_that_differs_is_named_and_its_content_stays(
    tmp_path: Path, header: str, row: str, at_the_site: str, at_the_server: str
) -> None:
    path = site_of_rows(tmp_path, "a", [row] * 3, header=header)
    whole, server = told(scenario(TABLE), path)
    assert at_the_site in whole
    assert at_the_server in server
    for word in ("q7", "ancient", "perhaps", "years", str(tmp_path)):
        assert word not in server


def test_an_optional_column_may_lack_values(tmp_path: Path) -> None:
    rows = read(scenario(TABLE), site_of_rows(tmp_path, "a", ["50,x,no", ",y,yes"]))
    assert torch.isnan(rows.examples.inputs[:, 0]).tolist() == [False, True]


def test_values_of_a_category_may_be_others_where_the_scenario_says_so(tmp_path: Path) -> None:
    ward = {"kind": "category", "values": ["x"], "others": True}
    schema = scenario(TABLE, columns={"ward": ward})
    rows = read(schema, site_of_rows(tmp_path, "a", ["1,x,no", "2,z,yes"]))
    assert len(rows) == 2


def test_data_of_a_class_in_code_are_taken_where_their_task_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "a"\n[data]\nname = "digits"\n')
    digits = {
        "name": "sites",
        "kind": "pictures",
        "classes": [str(9 - k) for k in range(10)],
        "image_size": 8,
        "channels": 1,
    }
    rows = read(scenario(digits), path)
    assert rows.held_out
    assert rows.examples.inputs.dtype == torch.uint8
    whole, _ = told(scenario(digits, image_size=16), path)
    assert "inputs' shape" in whole


def test_rows_of_a_table_are_some(tmp_path: Path) -> None:
    rows = read(scenario(TABLE), site_of_rows(tmp_path, "a", some_rows(30, 0)))
    assert len(rows) == 30
    assert rows.held_out == 0
