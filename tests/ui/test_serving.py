from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from fedlab.ui.serving import USUAL_PORT


def _start(*words: str, **keys) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fedlab", "ui", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **keys,
    )


def test_the_address_that_is_printed_leads_to_the_page_and_ctrl_c_ends_quietly(runs) -> None:
    process = _start(str(runs), "--port", "0")
    try:
        assert "Ctrl-C ends" in process.stdout.readline()
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{40,}", address)
        with httpx.Client() as client:
            assert client.get(address.split("?")[0]).status_code == 401
            assert client.get(address).status_code == 200
            base = address.split("?")[0]
            assert len(client.get(f"{base}api/runs").json()["runs"]) == 2
            assert "<!doctype html>" in client.get(base).text
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out.strip(), err) == (0, "", "")


def test_a_port_in_use_is_one_sentence(runs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = _start(str(runs), "--port", str(port))
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert err.count("\n") == 1
    assert f"--port {port}" in err
    assert "--port 0" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none"], "there is no folder none"),
        ([], "fedlab run quickstart"),
        ([".", "--host", "no.such.host.invalid"], "no.such.host.invalid"),
        ([".", "--port", "70000"], "70000"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(words, said, tmp_path) -> None:
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    process = _start(*words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert said in err


def test_a_server_for_the_network_warns_that_nothing_is_encrypted(runs) -> None:
    process = _start(str(runs), "--host", "0.0.0.0", "--port", "0")
    try:
        process.stdout.readline()
        assert process.stdout.readline().startswith("http://127.0.0.1:")
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert "unencrypted" in err


def test_the_usual_port_is_left_to_who_has_it(runs) -> None:
    try:
        taken = socket.create_server(("127.0.0.1", USUAL_PORT))
    except OSError:
        taken = socket.socket()  # another program has it, which is the case that is tested
    with taken:
        process = _start(str(runs))
        try:
            process.stdout.readline()
            address = process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
    assert address.startswith("http://127.0.0.1:")
    assert f":{USUAL_PORT}/" not in address


def test_looking_at_runs_imports_neither_torch_nor_drawing(runs) -> None:
    code = (
        "import sys; from pathlib import Path; from fedlab.ui.view import View"
        "; import fedlab.cli.ui; v = View(Path(sys.argv[1])); v.runs(); v.run('digits')"
        "; v.round('digits', 2); v.comparison(['digits', 'digits-slower'])"
        "; print([m for m in ('torch', 'matplotlib', 'ray', 'flwr') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(runs)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
