"""What fedlab relies on of what Flower does not make public: a test fails when Flower moves it."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flwr.superlink.config_loader import SuperLinkLifespanConfig

from fedlab.deploy import guard
from fedlab.deploy.flower import superlink, supernode


def run_python(text: str) -> str:
    command = [sys.executable, "-c", text]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def sleeps_of(module: Any) -> list[float]:
    """Return the seconds of each ``time.sleep`` in a module's source."""
    tree = ast.parse(Path(inspect.getfile(module)).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sorted(ast.literal_eval(c.args[0]) for c in calls if ast.unparse(c.func) == "time.sleep")


def test_a_supernode_sleeps_where_it_did() -> None:
    assert sleeps_of(importlib.import_module(supernode.CLIENT)) == [0.5, 0.5, 3]


def test_a_supernodes_loop_has_the_functions_that_are_watched() -> None:
    client = importlib.import_module(supernode.CLIENT)
    source = inspect.getsource(client.start_client_internal)
    assert "run_id = _pull_and_store_message(" in source
    assert "_push_messages(" in source


def test_pieces_are_asked_for_again_sooner_and_for_as_long() -> None:
    text = (
        "from flwr.supercore.inflatable.inflatable_utils import pull_objects as pull\n"
        "from fedlab.deploy.flower.objects import ask_sooner\n"
        "before = dict(pull.__kwdefaults__); ask_sooner(); after = dict(pull.__kwdefaults__)\n"
        "print(before['initial_backoff'], before['backoff_cap'], sorted(before) == sorted(after))\n"
        "print(after['initial_backoff'], after['max_time'] == before['max_time'])"
    )
    assert run_python(text).split("\n")[:2] == ["1 10 True", "0.03 True"]


def test_a_superlink_is_served_by_the_function_that_is_replaced() -> None:
    command: Any = importlib.import_module(superlink.COMMAND)
    assert "_run_superlink_http_api(lifespan_config=config)" in inspect.getsource(
        command.flower_superlink
    )
    fields = {field.name for field in dataclasses.fields(SuperLinkLifespanConfig)}
    assert {"host", "port", "ssl_keyfile", "ssl_certfile"} <= fields


def test_the_interfaces_have_the_paths_that_are_guarded() -> None:
    text = "from flwr.superlink.main import app\nprint('\\n'.join(app.openapi()['paths']))"
    paths = run_python(text).split()
    kinds = (guard.FLEET, guard.CONTROL, guard.RUNTIME, guard.HEALTH)
    assert {kind for path in paths for kind in kinds if path.startswith(kind)} == set(kinds)
    assert [path for path in paths if not path.startswith(kinds)] == []


def test_requests_of_sites_name_their_key_in_the_header_that_is_looked_at() -> None:
    from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER

    assert FLEET_HTTP_PUBLIC_KEY_HEADER.encode() == guard.KEY_HEADER


def test_the_code_of_an_unknown_key_is_flowers() -> None:
    from flwr.supercore.error import ApiErrorCode

    assert ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED == guard.ACTIVATION_FAILED


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("flwr.supernode.runtime.run_clientapp", "pull_task_input push_message push_task_output"),
        ("flwr.supercore.heartbeat", "HeartbeatSender make_task_heartbeat_fn_http"),
        ("flwr.supercore.logger", "flush_logs mirror_output_to_queue start_log_uploader"),
        ("flwr.superlink.grid", "HttpGrid"),
        ("flwr.supercore.control.control_http_client", "ControlHttpClient"),
    ],
)
def test_what_is_imported_is_there(module: str, names: str) -> None:
    found = importlib.import_module(module)
    assert all(hasattr(found, name) for name in names.split())


def test_a_grid_has_what_is_used_of_it() -> None:
    from flwr.superlink.grid import HttpGrid

    grid: Any = HttpGrid("127.0.0.1:1", insecure=True, token="token")
    assert callable(grid._retry_invoker.should_giveup)
    assert isinstance(HttpGrid._runtime_client, property)
