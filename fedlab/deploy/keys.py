"""A site's key: the private one stays where it was made, the public one goes to the server.

Flower takes keys on NIST curves in OpenSSH's form. A site signs each request with it.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedlab.errors import FedlabError

PUBLIC = ".pub"
SECRET_MODE = 0o600


def public_path(key: Path) -> Path:
    """Return where the public key of a private one is."""
    return key.with_name(key.name + PUBLIC)


def make_key(key: Path, name: str) -> Path:
    """Make a site's key, unless it is there.

    Args:
        key: Where the private key goes, readable by its owner alone.
        name: The site's name, as the public key's comment.

    Returns:
        The file of the public key.

    Raises:
        FedlabError: If what is there is no key of a site, or the files cannot be written.
    """
    private = read_private(key) if key.exists() else ec.generate_private_key(ec.SECP256R1())
    try:
        if not key.exists():
            write_secret(key, _private_bytes(private))
        public = public_path(key)
        if not public.exists():
            public.write_bytes(_public_bytes(private.public_key()) + f" {name}\n".encode())
    except OSError as error:
        raise FedlabError(f"{key}: the key cannot be written: {error.strerror or error}") from error
    return public


def read_private(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return a site's private key.

    Raises:
        FedlabError: If it cannot be read, others can read it, or it is no key on a NIST curve.
    """
    try:
        content = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror or error}") from error
    if mode & 0o077:
        raise FedlabError(
            f"{path} can be read by other users of this machine; give it the mode 600 "
            f"(chmod 600 {path})"
        )
    try:
        key = serialization.load_ssh_private_key(content, password=None)
    except (ValueError, UnsupportedAlgorithm, TypeError) as error:
        raise FedlabError(
            f"{path} is no private key in OpenSSH's form without a passphrase; let "
            "'fedlab deploy key' make one"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FedlabError(
            f"{path} is a key of another kind; sites have keys on a NIST curve (ECDSA), as "
            "'fedlab deploy key' makes them"
        )
    return key


def read_public(path: Path) -> ec.EllipticCurvePublicKey:
    """Return a site's public key.

    Raises:
        FedlabError: If it cannot be read, or is no public key on a NIST curve.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        key = serialization.load_ssh_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "; this is a private key, which stays at the site" if b"PRIVATE" in content else ""
        raise FedlabError(f"{path} is no public key in OpenSSH's form{hint}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise FedlabError(f"{path} is a key of another kind; sites have keys on a NIST curve")
    return key


def registered_keys(folder: Path) -> dict[str, ec.EllipticCurvePublicKey]:
    """Return the public keys in a server's folder of sites, by the sites' names.

    Raises:
        FedlabError: If there is no such folder, a file in it is no key, or two sites have one.
    """
    if not folder.is_dir():
        raise FedlabError(f"there is no folder {folder}; it holds the sites' public keys: NAME.pub")
    keys: dict[str, ec.EllipticCurvePublicKey] = {}
    for path in sorted(folder.glob(f"*{PUBLIC}")):
        key = read_public(path)
        for name, other in keys.items():
            if other == key:
                raise FedlabError(f"{path}: the site '{name}' has the same key; each has its own")
        keys[path.name.removesuffix(PUBLIC)] = key
    return keys


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that its owner alone can read.

    Raises:
        FileExistsError: If there is one; it stays as it is.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def _public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
