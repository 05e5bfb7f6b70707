"""The folders of a new federation's parties."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fedlab.deploy.certificates import check_certificates, make_certificates
from fedlab.deploy.keys import PUBLIC, make_key, write_secret
from fedlab.deploy.settings import DEFAULT_PORT, MOST_SITES, is_loopback
from fedlab.errors import FedlabError
from fedlab.files import replacing
from fedlab.scenario.site import LONGEST_NAME, NAME

HOST = re.compile(r"[A-Za-z0-9.:-]+")
SERVER, CONTAINER = "server", "container"


@dataclass(frozen=True)
class OwnCertificate:
    """A server's certificate that its user brings.

    Attributes:
        certificate: The certificate's file.
        key: That of its private key.
        ca: That of the CA's certificate.
    """

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True)
class Plan:
    """What a federation is to be.

    Attributes:
        sites: The sites' names.
        hosts: Names and addresses of the server; sites use the first.
        port: The port that sites reach.
        own: A certificate to use; None: a CA and a certificate are made.
        with_keys: Whether to make the sites' keys here, for trials on one machine.
    """

    sites: Sequence[str]
    hosts: Sequence[str] = field(default=("127.0.0.1",))
    port: int = DEFAULT_PORT
    own: OwnCertificate | None = None
    with_keys: bool = False


def make_folders(folder: Path, plan: Plan) -> None:
    """Make the folders of a federation's parties; they are all made, or none.

    Raises:
        FedlabError: If the folder is there, or the plan is not possible.
    """
    _check(plan)
    if folder.exists() or folder.is_symlink():
        raise FedlabError(
            f"{folder} is there already; nothing is overwritten, so name a new folder"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder) as draft:
            draft.mkdir(mode=0o700)
            _write_server(draft / SERVER, plan)
            for number, name in enumerate(plan.sites):
                _write_site(draft, name, number, plan)
            _write_container(draft / CONTAINER, plan)
            _write(draft / "README.md", "README.md", plan)
    except OSError as error:
        raise FedlabError(f"{folder} cannot be made: {error.strerror or error}") from error


def _check(plan: Plan) -> None:
    if not plan.sites:
        raise FedlabError("--sites: name the sites, as in --sites north,south,east")
    if len(plan.sites) > MOST_SITES:
        raise FedlabError(f"--sites: at most {MOST_SITES} sites")
    for name in plan.sites:
        if not re.fullmatch(NAME, name) or len(name) > LONGEST_NAME:
            raise FedlabError(
                f"--sites: '{name}' is no name of a site: letters, digits, and . _ - between them"
            )
    if len({name.lower() for name in plan.sites}) < len(plan.sites):
        raise FedlabError("--sites: two sites have one name; each has its own")
    for host in plan.hosts:
        if not HOST.fullmatch(host):
            raise FedlabError(f"--host: '{host}' is neither an address nor a host's name in ASCII")
    if plan.own is not None:
        check_certificates(plan.own.certificate, plan.own.key, plan.own.ca)


def _write_server(folder: Path, plan: Plan) -> None:
    (folder / "sites").mkdir(parents=True)
    if plan.own is None:
        made = make_certificates(plan.hosts)
        (folder / "ca.pem").write_bytes(made.ca)
        (folder / "server.pem").write_bytes(made.certificate)
        write_secret(folder / "ca.key", made.ca_key)
        write_secret(folder / "server.key", made.key)
    else:
        shutil.copyfile(plan.own.ca, folder / "ca.pem")
        shutil.copyfile(plan.own.certificate, folder / "server.pem")
        write_secret(folder / "server.key", plan.own.key.read_bytes())
    listen = "127.0.0.1" if all(map(is_loopback, plan.hosts)) else "0.0.0.0"
    paths = {"certificate": "server.pem", "key": "server.key", "ca": "ca.pem"}
    _write(folder / "server.toml", "server.toml", plan, listen=listen, **paths)
    _write(folder / "README.md", "server-README.md", plan)
    _write(
        folder / "fedlab-server.service",
        "service",
        plan,
        description="The server of a federation",
        folder="/srv/fedlab/server",
        command="server server.toml",
    )


def _write_site(parent: Path, name: str, number: int, plan: Plan) -> None:
    folder, file = parent / f"site-{name}", f"site-{name}.toml"
    folder.mkdir()
    shutil.copyfile(parent / SERVER / "ca.pem", folder / "ca.pem")
    host = plan.hosts[0]
    host = f"[{host}]" if ":" in host else host
    own = {"site": name, "file": file, "host": host}
    _write(folder / file, "site.toml", plan, number=number, **(own | {"sites": len(plan.sites)}))
    _write(folder / "README.md", "site-README.md", plan, **own)
    _write(
        folder / "fedlab-site.service",
        "service",
        plan,
        description=f"The site {name} of a federation",
        folder=f"/srv/fedlab/site-{name}",
        command=f"site {file}",
    )
    if plan.with_keys:
        public = make_key(folder / "site.key", name)
        shutil.copyfile(public, parent / SERVER / "sites" / f"{name}{PUBLIC}")


def _write_container(folder: Path, plan: Plan) -> None:
    folder.mkdir()
    for name in ("Containerfile", "compose.yaml"):
        _write(folder / name, name, plan)


def _write(path: Path, template: str, plan: Plan, **more: Any) -> None:
    environment = Environment(
        loader=PackageLoader("fedlab.deploy"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    content: dict[str, Any] = {
        "sites": list(plan.sites),
        "host": plan.hosts[0],
        "hosts": " or ".join(plan.hosts),
        "port": plan.port,
        "with_keys": plan.with_keys,
    }
    path.write_text(environment.get_template(f"{template}.j2").render(content | more))
