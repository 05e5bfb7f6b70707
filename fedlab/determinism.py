"""The same bits in every run on one kind of device.

Many kernels of a card add up in the order in which its threads happen to arrive, so that two runs
differ in their last bits, and soon in more. PyTorch has other algorithms for most of them, and
raises an error where it has none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fedlab.errors import FedlabError

if TYPE_CHECKING:
    import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""The variable that says in which memory cuBLAS computes; without one its order is any."""
KNOWN_WORKSPACES = (":4096:8", ":16:8")
_ALONE = re.compile(r"(\S+) does not have a deterministic implementation")
_OF_CUBLAS = f"before running your PyTorch application: {WORKSPACE}"


def ask_for_workspace() -> None:
    """Ask for a workspace in which cuBLAS adds up in a fixed order.

    It is read when a process first uses a card, so this comes before.
    """
    os.environ.setdefault(WORKSPACE, KNOWN_WORKSPACES[0])


@contextmanager
def deterministic(device: torch.device, wanted: bool) -> Iterator[None]:
    """Compute on a device, inside the block, by algorithms that give the same bits in every run.

    On the CPU, whose algorithms do so anyhow, nothing changes.

    Args:
        device: Where it is computed.
        wanted: ``engine.deterministic``.

    Raises:
        FedlabError: If an operation has no such algorithm.
    """
    if device.type == "cpu" or not wanted:
        yield
        return
    import torch

    memory: Any = torch.utils.deterministic
    before = (
        torch.get_deterministic_debug_mode(),
        memory.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
    )
    # The same as use_deterministic_algorithms(True), which takes seconds to load a compiler.
    torch.set_deterministic_debug_mode("error")
    # Whatever is left empty here is written before it is read; filling it would take time alone.
    memory.fill_uninitialized_memory = False
    # The fastest algorithm is another one from run to run.
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        sentence = _explained(str(error), device)
        if sentence is None:
            raise
        raise FedlabError(sentence) from error
    finally:
        torch.set_deterministic_debug_mode(before[0])
        memory.fill_uninitialized_memory = before[1]
        torch.backends.cudnn.benchmark = before[2]


def _explained(message: str, device: torch.device) -> str | None:
    """Return a sentence on an operation that has no deterministic algorithm, or None for others."""
    found = _ALONE.search(message)
    if found is not None:
        return (
            f"engine.deterministic: '{found[1]}' has no algorithm on '{device}' that gives the "
            "same bits in every run; set engine.deterministic = false (bits may then differ "
            "between runs), engine.device = 'cpu', or take a model without it"
        )
    if _OF_CUBLAS in message:
        return (
            f"engine.deterministic: {WORKSPACE} is '{os.environ.get(WORKSPACE, '')}', with which "
            f"products of matrices differ between runs; unset it, or set {KNOWN_WORKSPACES[0]}"
        )
    return None
