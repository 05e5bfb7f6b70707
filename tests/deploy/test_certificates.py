from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from fedlab.deploy.certificates import check_certificates, make_certificates
from fedlab.errors import FedlabError


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    made = make_certificates(["fed.example", "10.1.2.3"])
    for name in ("ca", "ca_key", "certificate", "key"):
        (folder / name).write_bytes(getattr(made, name))
    return folder


def greeting(folder: Path, host: str, ca: Path) -> None:
    """Let a TLS client that trusts a CA greet a server, as ``host``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    ours, theirs = socket.socketpair()

    def answer() -> None:
        try:
            context.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=answer)
    thread.start()
    client = ssl.create_default_context(cafile=str(ca))
    try:
        client.wrap_socket(ours, server_hostname=host).close()
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("host", ["fed.example", "10.1.2.3", "127.0.0.1", "localhost"])
def test_a_client_that_trusts_the_ca_accepts_the_server_under_each_of_its_hosts(
    files: Path, host: str
) -> None:
    greeting(files, host, files / "ca")


def test_a_client_accepts_the_server_under_no_other_host(files: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
        greeting(files, "other.example", files / "ca")


def test_a_client_that_trusts_another_ca_does_not_accept_the_server(
    files: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(make_certificates(["fed.example"]).ca)
    with pytest.raises(ssl.SSLCertVerificationError):
        greeting(files, "fed.example", other)


def test_certificates_that_fit_are_accepted(files: Path) -> None:
    check_certificates(files / "certificate", files / "key", files / "ca")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("certificate", "ca_key", "ca"), "is no certificate that a server can use"),
        (("certificate", "gone", "ca"), "gone cannot be read"),
        (("certificate", "key", "key"), "is no certificate of a CA"),
    ],
)
def test_what_is_wrong_with_certificates_is_said(
    files: Path, names: tuple[str, str, str], reason: str
) -> None:
    with pytest.raises(FedlabError, match=reason):
        check_certificates(*(files / name for name in names))


def test_a_host_that_no_certificate_can_name_is_refused() -> None:
    with pytest.raises(FedlabError, match="neither an address nor"):
        make_certificates(["münchen.example"])
