"""Classes of a program's own: known by name, and taken to other processes by value."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.own_classes import OwnClasses
from fedlab.own_modules import class_at
from fedlab.own_modules import own_classes as of_process
from fedlab.registry import clients


def made(said: Any) -> type[Any]:
    class Local:
        """Says something that it has from around it."""

        def say(self) -> Any:
            return said

    return Local


def test_a_class_is_found_by_the_name_that_it_was_given() -> None:
    name = of_process.give(made("hello"))
    assert name == f"{__name__}:Local"
    assert class_at(name)().say() == "hello"
    of_process.give(made("again"))
    assert class_at(name)().say() == "again"


def test_what_a_scenario_names_is_packed_with_what_it_uses_and_nothing_else() -> None:
    ours, theirs = OwnClasses(), OwnClasses()
    name = ours.give(made({"found": [1, 2]}))
    assert ours.packed('[client]\nname = "supervised"\n') == b""
    packed = ours.packed(f'[client]\nname = "{name}"\n')
    theirs.unpack(packed)
    found = theirs.get(name)
    assert found is not None
    assert found().say() == {"found": [1, 2]}


def test_classes_that_any_process_can_import_stay_where_they_are() -> None:
    ours = OwnClasses()
    name = ours.give(clients.get("supervised"))
    assert ours.packed(f'"{name}"') == b""


def test_another_process_has_the_class_without_the_file_that_it_is_from() -> None:
    ours = OwnClasses()
    name = ours.give(made(7))
    script = (
        "import sys; from fedlab.own_classes import own_classes;"
        f"own_classes.unpack(bytes.fromhex({ours.packed(chr(34) + name + chr(34)).hex()!r}));"
        f"print(own_classes.get({name!r})().say(), {__name__!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "7 False\n", done.stderr


def test_what_no_other_process_can_have_is_refused_in_one_sentence() -> None:
    ours = OwnClasses()
    name = ours.give(made(threading.Lock()))
    with pytest.raises(
        FedlabError, match=r"cannot be taken to the workers: .*lock.*'inline'"
    ) as it:
        ours.packed(f'"{name}"')
    assert "\n" not in str(it.value)
