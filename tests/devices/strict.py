"""The device type "strict": the CPU in the guise of a card, which no machine lacks.

strict.cpp says what it does. It is built once for each version of torch, and kept in fedlab's
cache. What it does not show: speed, memory, other sums than the CPU's, and code that asks for
"cuda" by name.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from filelock import FileLock

from fedlab.assets.places import cache_folder

NAME = "strict"
MEMORY = 1 << 34
"""Bytes that a device says it has, where no test limits them."""
SOURCE = Path(__file__).with_name("strict.cpp")


class CannotBuild(Exception):
    """There is no compiler, or it failed."""


def register() -> None:
    """Build the device type where it is not built yet, and make it known to torch.

    It must be known before the first backward pass of the process: torch starts the threads in
    which devices run theirs only then.

    Raises:
        CannotBuild: With the reason, in one sentence.
    """
    if hasattr(torch, NAME):
        return
    library = _built()
    torch.utils.rename_privateuse1_backend(NAME)
    torch.ops.load_library(str(library))
    torch._register_device_module(NAME, _module())
    torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)


@dataclass(frozen=True)
class Copies:
    """How often something was copied between the device and the CPU.

    Attributes:
        to_device, to_host: Tensors.
        numbers: Numbers read by themselves, as ``item`` does.
        bytes_to_device, bytes_to_host: Of the tensors.
    """

    to_device: int
    to_host: int
    numbers: int
    bytes_to_device: int = 0
    bytes_to_host: int = 0


def copies() -> Copies:
    """Return how often something was copied since the process began."""
    return Copies(*torch.ops.strict.copies())


@contextmanager
def counted() -> Iterator[list[Copies]]:
    """Append to the list, when the block ends, what was copied within it."""
    found: list[Copies] = []
    before = copies()
    yield found
    after = copies()
    found.append(Copies(*(b - a for a, b in zip(astuple(before), astuple(after), strict=True))))


@contextmanager
def limited(bytes_: int) -> Iterator[None]:
    """Let each device have so much memory inside the block, what is used already included."""
    torch.ops.strict.limit_memory(bytes_)
    try:
        yield
    finally:
        torch.ops.strict.limit_memory(0)


def used() -> int:
    """Return how many bytes of the first device are used."""
    found: int = torch.ops.strict.used_memory(0)
    return found


def _built() -> Path:
    """Return the compiled library.

    Raises:
        CannotBuild: If it cannot be compiled.
    """
    compiler = os.environ.get("CXX", "c++")
    digest = hashlib.sha256(SOURCE.read_bytes())
    digest.update(f"{torch.__version__} {compiler}".encode())
    folder = cache_folder() / "tests"
    library = folder / f"{NAME}-{digest.hexdigest()[:16]}.so"
    folder.mkdir(parents=True, exist_ok=True)
    # Of several test processes one builds it, and the others wait.
    with FileLock(folder / f"{NAME}.lock"):
        if library.exists():
            return library
        handle, draft = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(handle)
        try:
            _compile(compiler, Path(draft))
            os.replace(draft, library)
        finally:
            Path(draft).unlink(missing_ok=True)
    return library


def _compile(compiler: str, library: Path) -> None:
    # Not optimised: that doubles the time to build, and the kernels are torch's own.
    command = [compiler, "-std=c++20", "-O0", "-fPIC", "-shared", str(SOURCE), "-o", str(library)]
    folder = Path(torch.__file__).parent
    command += ["-isystem", str(folder / "include"), "-L", str(folder / "lib")]
    command += [f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"]
    command += ["-ltorch", "-ltorch_cpu", "-lc10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotBuild(f"the test device needs a C++ compiler: {error}") from error
    if done.returncode:
        raise CannotBuild(f"the test device does not compile with {compiler}:\n{done.stderr}")


def _module() -> ModuleType:
    """Return what becomes ``torch.strict``, as torch wants it of every device type."""
    module: Any = ModuleType(f"torch.{NAME}")
    native = torch.ops.strict

    def index_of(device: Any) -> int:
        if isinstance(device, int):
            return device
        found = torch.device(device or NAME).index
        return native.current_device() if found is None else found

    def manual_seed_all(seed: int) -> None:
        for index in range(native.device_count()):
            native.manual_seed(seed, index)

    def memory(device: Any = None) -> tuple[int, int]:
        whole = native.memory_limit() or MEMORY
        return max(0, whole - native.used_memory(index_of(device))), whole

    module.is_available = lambda: True
    module.is_initialized = lambda: True
    module.device_count = native.device_count
    module.current_device = native.current_device
    module.set_device = lambda device: native.set_device(index_of(device))
    module.synchronize = lambda device=None: None
    module._is_in_bad_fork = lambda: False
    module.manual_seed = lambda seed: native.manual_seed(seed, native.current_device())
    module.manual_seed_all = manual_seed_all
    module.get_rng_state = lambda device=None: native.rng_state(index_of(device))
    module.set_rng_state = lambda state, device=None: native.set_rng_state(state, index_of(device))
    module.max_memory_allocated = lambda device=None: native.peak_memory(index_of(device))
    module.reset_peak_memory_stats = lambda device=None: native.reset_peak_memory(index_of(device))
    module.mem_get_info = memory
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    return module
