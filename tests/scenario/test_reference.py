from pathlib import Path

import fedlab
from fedlab.scenario.reference import reference


def test_the_reference_page_is_what_the_schema_says() -> None:
    page = Path(fedlab.__file__).parent.parent / "docs" / "scenarios.md"
    assert page.read_text() == reference(), "run: python -m fedlab.scenario.reference"
