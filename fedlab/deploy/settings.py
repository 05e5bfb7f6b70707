"""What the files of a federation's parties say about connecting them.

``server.toml`` is the server's. A site's file also describes the site's data, which is read where
clients train (:mod:`fedlab.scenario.site`); here its tables ``[server]`` and ``[resources]`` are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from fedlab.errors import FedlabError, FedlabErrors
from fedlab.scenario.files import text_of
from fedlab.scenario.paths import make_absolute
from fedlab.scenario.problems import sentences
from fedlab.scenario.toml_text import parsed
from fedlab.settings import FilePath, IsPath, Settings

DEFAULT_PORT = 8000
"""Flower's own."""
MOST_SITES = 10_000
S = TypeVar("S", bound=Settings)


class Listening(Settings):
    """Keys of ``[server]`` in ``server.toml``."""

    host: str = Field(
        "0.0.0.0", min_length=1, description="the address to listen on; 0.0.0.0 is all of them"
    )
    port: int = Field(DEFAULT_PORT, ge=1, le=65535, description="the one port that sites reach")
    certificate: FilePath = Field(
        "server.pem", description="the server's certificate, with those between it and the CA's"
    )
    key: FilePath = Field("server.key", description="the certificate's private key")
    ca: FilePath = Field("ca.pem", description="the certificate of the CA, which sites have too")
    sites: FilePath = Field(
        "sites", description="the folder of the sites' public keys: NAME.pub is the site NAME"
    )
    state: FilePath = Field("state", description="the folder of what the server keeps, and its log")
    runs: FilePath = Field("runs", description="the folder of run folders")


class Connection(Settings):
    """Keys of ``[server]`` in a site's file."""

    address: str = Field(
        pattern=r"^(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):[0-9]{1,5}$",
        description="where the server is: host:port, as its certificate names the host",
    )
    ca: FilePath = Field("ca.pem", description="the certificate of the CA that the server has")
    key: FilePath = Field(
        "site.key", description="the site's private key, made here; its public key is beside it"
    )
    state: FilePath = Field("state", description="the folder of what the site keeps, and its log")
    number: int = Field(ge=0, lt=MOST_SITES, description="which client this site is, from 0")
    sites: int = Field(ge=1, le=MOST_SITES, description="how many sites the federation has")


class Resources(Settings):
    """Keys of ``[resources]`` in a site's file."""

    cpus: int | None = Field(
        None, ge=1, le=4096, description="CPUs that training may use; default: all"
    )
    device: str | None = Field(
        None,
        pattern=r"^[a-z]+(:[0-9]+)?$",
        description="what this site trains on: 'cpu', 'auto', 'cuda', ...; default: what the "
        "scenario says (engine.device)",
    )
    nice: int = Field(
        0, ge=0, le=19, description="how far training gives way to other programs of the machine"
    )


@dataclass(frozen=True)
class SiteFile:
    """What a site's file says about its processes.

    Attributes:
        path: The file.
        name: The site's name.
        server: Where the server is.
        resources: What training may use.
    """

    path: Path
    name: str
    server: Connection
    resources: Resources


def load_server(path: Path) -> Listening:
    """Return what a server's file says.

    Raises:
        FedlabError: If there is no such file, or with every problem of its content, a line each.
    """
    raw = _read(path, "a server is described by server.toml, which 'fedlab deploy init' writes")
    unknown = [f"{path}: there is no key '{key}'; 'server' is" for key in raw if key != "server"]
    problems = list(unknown)
    server = _table(raw, "server", Listening, path, problems)
    if server is None or problems:
        raise FedlabErrors(problems)
    return server


def load_site(path: Path) -> SiteFile:
    """Return what a site's file says about its processes.

    Raises:
        FedlabError: If there is no such file, or with every problem of its content, a line each.
    """
    raw = _read(path, "a site is described by a TOML file, which 'fedlab deploy init' writes")
    problems: list[str] = []
    server = _table(raw, "server", Connection, path, problems)
    resources = _table(raw, "resources", Resources, path, problems)
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        problems.append(f'{path}: name: the site\'s name is missing; write name = "..."')
    if server is not None and server.number >= server.sites:
        problems.append(
            f"{path}: server.number: sites are numbered from 0, and there are {server.sites}; "
            f"the last is {server.sites - 1}"
        )
    if problems or server is None or resources is None:
        raise FedlabErrors(problems)
    return SiteFile(path.absolute(), str(name), server, resources)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _read(path: Path, hint: str) -> dict[str, Any]:
    if path.is_dir():
        raise FedlabError(f"{path} is a folder; {hint}")
    if not path.exists():
        raise FedlabError(f"there is no file {path}; {hint}")
    return parsed(text_of(path), str(path))


def _table(
    raw: Mapping[str, Any], name: str, schema: type[S], path: Path, problems: list[str]
) -> S | None:
    """Return a table's settings; what is wrong with it is added to ``problems``."""
    table = raw.get(name, {})
    if not isinstance(table, dict):
        problems.append(f"{path}: {name}: this is a table; write [{name}]")
        return None
    table = {**{k: f.default for k, f in schema.model_fields.items() if _is_path(f)}, **table}
    make_absolute(table, schema, lambda key: path.absolute().parent)
    try:
        return schema.model_validate(table, strict=True)
    except ValidationError as error:
        found = sentences(error, schema, table)
        problems += [f"{path}: {name}.{sentence}" for sentence in found]
        return None


def _is_path(field: FieldInfo) -> bool:
    return any(isinstance(mark, IsPath) for mark in field.metadata)
