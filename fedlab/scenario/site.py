"""A site's own file: which data it trains on, and what may leave it.

The file stays on the site. ``[data]`` has the keys of the data set that it names, as in a scenario;
``[permissions]`` says what a scenario may ask of the site beside updates and numbers of examples.
Two further tables belong to the processes that connect the site, and are not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, SerializeAsAny, ValidationError, create_model

from fedlab.data.clients_by import CLIENTS_BY
from fedlab.data.clients_by import SITES as SITES_KEY
from fedlab.errors import FedlabError, FedlabErrors
from fedlab.scenario.content import tuples_for_lists
from fedlab.scenario.files import text_of
from fedlab.scenario.named_tables import registered_settings
from fedlab.scenario.paths import make_absolute
from fedlab.scenario.problems import sentences, shown
from fedlab.scenario.schema import SITES
from fedlab.scenario.toml_text import parsed
from fedlab.settings import Settings

NAME, LONGEST_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", 64


class Permissions(Settings):
    """Keys of ``[permissions]``: what may leave a site, where a scenario asks for it.

    Numbers of examples, metrics and updates always leave; rows never do.
    """

    statistics: bool = Field(
        False,
        description="sums over the site's training rows, column by column: by them all sites' "
        "numbers are scaled alike",
    )
    class_counts: bool = Field(
        False, description="how many training examples of each class the site holds"
    )
    names: bool = Field(
        False,
        description="the site's name, and the names of its classes and columns where they are not "
        "the federation's",
    )
    modules: tuple[str, ...] = Field(
        (),
        description="modules installed at the site from which a scenario may have classes imported "
        "(module:Class); without them the site runs fedlab's own code alone",
    )


class Site(Settings):
    """A site's file, checked.

    Attributes:
        data: The keys of the data set that ``data.name`` names, its paths absolute.
        server: Where the federation is; read by the site's process.
        resources: What the site's process may use; read by that.
    """

    name: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        pattern=NAME,
        description="what the site is called: letters, digits, and . _ - between them",
    )
    if TYPE_CHECKING:
        data: Any
    else:
        data: SerializeAsAny[Settings]
    permissions: Permissions = Permissions()
    server: dict[str, Any] = Field(default_factory=dict, description="where the federation is")
    resources: dict[str, Any] = Field(
        default_factory=dict, description="what the site's process may use"
    )


def load_site(path: Path) -> Site:
    """Return the site that a file describes.

    Args:
        path: The file; relative paths in ``[data]`` begin in its folder.

    Raises:
        FedlabError: If there is no such file, or with every problem of its content, a line each.
    """
    if path.is_dir():
        raise FedlabError(f"{path} is a folder; a site is described by a TOML file")
    if not path.exists():
        raise FedlabError(f"there is no site file {path}")
    return check_site(parsed(text_of(path), str(path)), str(path), path.absolute().parent)


def check_site(raw: dict[str, Any], where: str, folder: Path) -> Site:
    """Return the site in a TOML table.

    Args:
        raw: The table; its paths are made absolute in place.
        where: The file, for messages.
        folder: Where relative paths begin.

    Raises:
        FedlabError: With every problem found, a line each.
    """
    problems: list[str] = []
    table = raw.get("data")
    if isinstance(table, dict) and table.get("name") == SITES:
        raise FedlabError(
            f"{where}: data.name: '{SITES}' is what a scenario says of all sites; a site names "
            "its own data: imagefolder, table, text, sound, series-csv, huggingface"
        )
    source: Any = registered_settings(raw.get("data"), "data", "datasets", problems)
    data: Any = (Any, None) if source is None else (SerializeAsAny[source], ...)  # type: ignore[misc]
    schema: type[Site] = create_model("Site", __base__=Site, data=data)
    make_absolute(raw, schema, lambda key: folder)
    content = tuples_for_lists(raw)
    site: Site | None = None
    try:
        site = schema.model_validate(content, strict=True)
    except ValidationError as error:
        problems += sentences(error, schema, content)
    if site is not None and source is not None:
        problems += _of_several(site)
    if problems or site is None:
        raise FedlabErrors(f"{where}: {problem}" for problem in dict.fromkeys(problems))
    return site


def _of_several(site: Site) -> Iterator[str]:
    """Tell whether the data are said to be several clients', where a site is one."""
    for key in (CLIENTS_BY, SITES_KEY):
        value = getattr(site.data, key, None)
        if value:
            yield (
                f"data.{key}: a site is one client, and {shown(value)} makes several of its data; "
                "leave the key out, and give each client a site file of its own"
            )
