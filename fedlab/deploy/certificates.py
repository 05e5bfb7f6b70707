"""A CA of a federation's own, and the server's certificate.

For trials and for federations without a public key infrastructure. Who has one brings its own files
instead: ``fedlab deploy init --certificate --key --ca``.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedlab.errors import FedlabError

ALWAYS = ("localhost", "127.0.0.1", "::1")
"""Hosts that each certificate names: trials on one machine reach the server there."""
VALID_DAYS = 825
"""The longest that common clients accept of a server's certificate."""


@dataclass(frozen=True)
class Certificates:
    """A CA and a server's certificate, as PEM text.

    Attributes:
        ca: The CA's certificate.
        ca_key: Its private key: whoever has it can pass for the server.
        certificate: The server's certificate.
        key: Its private key.
    """

    ca: bytes
    ca_key: bytes
    certificate: bytes
    key: bytes


def make_certificates(hosts: Sequence[str]) -> Certificates:
    """Make a CA, and a certificate that it has signed for a server.

    Args:
        hosts: Names and addresses under which sites reach the server.
    """
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    end = start + datetime.timedelta(days=VALID_DAYS)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name("fedlab federation CA")
    ca = (
        _begun(issuer, issuer, ca_key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([_host(name) for name in dict.fromkeys((*hosts, *ALWAYS))])
    server = (
        _begun(_name("fedlab server"), issuer, key.public_key(), start, end)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return Certificates(_pem(ca), _key_pem(ca_key), _pem(server), _key_pem(key))


def check_certificates(certificate: Path, key: Path, ca: Path) -> None:
    """Check that a server can use these files.

    Raises:
        FedlabError: If one cannot be read or is something else, or the key is another's.
    """
    for path in (certificate, key, ca):
        try:
            path.read_bytes()
        except OSError as error:
            raise FedlabError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            certificate, key, password=lambda: b""
        )
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise FedlabError(
            f"{certificate} with the key {key} is no certificate that a server can use: {reason}"
        ) from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        raise FedlabError(f"{ca} is no certificate of a CA: {error.reason}") from error


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    start: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise FedlabError(
            f"--host: '{name}' is neither an address nor a host's name in ASCII"
        ) from error


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
