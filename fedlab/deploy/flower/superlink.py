"""Flower's SuperLink, served on two ports: one for sites, one for this machine's processes."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedlab.deploy.guard import Application

LOOPBACK = "127.0.0.1"
SECONDS_TO_STOP = 3.0
COMMAND = "flwr.superlink.cli.flower_superlink"
Wrapper = Callable[[Any], Application]


def key_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a site's public key as Flower registers it."""
    return public_key_to_bytes(key)


def key_header(key: ec.EllipticCurvePublicKey) -> str:
    """Return a site's public key as its requests name it."""
    return b64encode(key_bytes(key)).decode()


def serve_superlink(
    arguments: Sequence[str], public: Wrapper, private: Wrapper, private_port: int
) -> None:
    """Serve a SuperLink until a signal ends it.

    Args:
        arguments: Those of ``flower-superlink``: the public port, certificates, the database.
        public: Wraps Flower's application for the public port.
        private: Wraps it for the port of the loopback address.
        private_port: That port.
    """
    command: Any = importlib.import_module(COMMAND)

    def serve(lifespan_config: Any) -> None:
        from flwr.superlink.main import create_app

        application = create_app(lifespan_config, command.SuperLinkLifespan)
        stop = _serve_private(private(application), private_port)
        try:
            # No header may say where a request comes from.
            uvicorn.run(
                public(application),
                host=lifespan_config.host,
                port=lifespan_config.port,
                ssl_keyfile=lifespan_config.ssl_keyfile,
                ssl_certfile=lifespan_config.ssl_certfile,
                **_quiet(),
            )
        finally:
            stop()

    command._run_superlink_http_api = serve
    sys.argv = ["flower-superlink", *arguments]
    command.flower_superlink()


def _serve_private(application: Application, port: int) -> Callable[[], None]:
    """Serve an application on the loopback address; return what stops it."""
    config = uvicorn.Config(application, host=LOOPBACK, port=port, lifespan="off", **_quiet())
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="private port", daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.02)

    def stop() -> None:
        server.should_exit = True
        thread.join(SECONDS_TO_STOP)

    return stop


def _quiet() -> dict[str, Any]:
    return {
        "log_level": "warning",
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "timeout_graceful_shutdown": int(SECONDS_TO_STOP),
    }
