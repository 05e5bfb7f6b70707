"""Freed memory stays with the process, at no cost of page faults, or goes back when told to."""

import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource
from fedlab.process import keep_freed_memory
{before}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def take_and_free():
    block = libc.malloc(20_000_000)
    ctypes.memset(block, 1, 20_000_000)
    libc.free(block)
take_and_free()
first = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
take_and_free()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - first)
"""


def _faults(before: str) -> int:
    code = FAULTS.format(before=before)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(told.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's own way")
def test_a_freed_block_is_taken_again_without_page_faults() -> None:
    trims = "ctypes.CDLL(None).mallopt(-1, 0)"
    assert _faults(trims) > 1000
    assert _faults("keep_freed_memory()") < 100


GIVEN_BACK = """
import ctypes, resource
from fedlab.process import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
blocks = [libc.malloc(1_000_000) for _ in range(64)]
for block in blocks:
    ctypes.memset(block, 1, 1_000_000)
pin = libc.malloc(1_000_000)
for block in blocks:
    libc.free(block)
before = held()
give_back_freed_memory()
print(before - held())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's own way")
def test_what_was_freed_below_what_is_in_use_is_given_back() -> None:
    told = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, check=True)
    assert int(told.stdout) > 50_000_000
