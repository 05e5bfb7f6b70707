"""The devices of this machine that networks can be trained on: which there are, and what they are.

A device is named as PyTorch names it: "cpu", "cuda:0", "mps". Any type that PyTorch knows is found,
also one that another package adds to it.
"""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from fedlab.determinism import ask_for_workspace
from fedlab.errors import FedlabError
from fedlab.process import machine_memory

# Every process that uses a device finds it here first.
ask_for_workspace()
CPU = torch.device("cpu")
AUTO = "auto"
NAME = r"[a-z][a-z0-9_]*(:\d{1,3})?"
"""What a device's name looks like."""
TYPES = ("cuda", "xpu", "mps")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Device:
    """A device of this machine.

    Attributes:
        name: As ``engine.device`` takes it.
        model: What its maker calls it.
        memory: Its bytes of memory, or None where it does not say.
        precisions: The names of the floating-point types that it multiplies matrices in.
    """

    name: str
    model: str
    memory: int | None
    precisions: tuple[str, ...]


def names() -> list[str]:
    """Return the names of this machine's devices, the CPU first."""
    return ["cpu", *(name for kind in _accelerators() for name in _of_type(kind))]


def resolved(wanted: str, key: str = "engine.device") -> torch.device:
    """Return the device that ``engine.device`` asks for.

    Args:
        wanted: "auto" for the first accelerator, or the CPU where there is none; a type for the
            first device of it; or a device's name.
        key: What asks for it, for the error.

    Raises:
        FedlabError: If this machine has no such device.
    """
    if wanted == "cpu":
        return CPU
    present = names()
    if wanted == AUTO:
        return torch.device(present[min(1, len(present) - 1)])
    first = next((name for name in present if name in (wanted, f"{wanted}:0")), None)
    if first is None:
        what = "device" if ":" in wanted else "device of type"
        raise FedlabError(
            f"{key}: there is no {what} '{wanted}' here; available: {', '.join(present)}"
        )
    return torch.device(first)


def here(wanted: str) -> torch.device | None:
    """Return the device that ``engine.device`` asks for, or None where this machine has none."""
    with suppress(FedlabError):
        return resolved(wanted)
    return None


def kind_of(wanted: str) -> str:
    """Return the type of device that ``engine.device`` asks for, which this machine may lack."""
    return resolved(wanted).type if wanted == AUTO else wanted.partition(":")[0]


def dealt(wanted: str) -> list[torch.device]:
    """Return the devices that workers are dealt in turn: all of the type that is asked for.

    Args:
        wanted: As :func:`resolved` takes it; a device's own name gives that device alone.

    Raises:
        FedlabError: If this machine has no such device.
    """
    first = resolved(wanted)
    if first == CPU or ":" in wanted:
        return [first]
    return [torch.device(name) for name in _of_type(first.type)]


def may_be_accelerated(wanted: str) -> bool:
    """Return whether ``engine.device`` asks for another device than the CPU, here or elsewhere."""
    return len(names()) > 1 if wanted == AUTO else wanted != CPU.type


def models_of(wanted: str) -> str:
    """Return the devices that workers are dealt as their makers call them, each once, by type.

    Raises:
        FedlabError: If this machine has no such device.
    """
    found = dealt(wanted)
    return ", ".join(dict.fromkeys(map(model_of, found)))


def model_of(device: torch.device) -> str:
    """Return what its maker calls a device, and its type: "NVIDIA A100 (cuda)"."""
    model = _model(device)
    return f"{model} ({device.type})" if model else device.type


def use_alone(device: torch.device) -> None:
    """Make a device the one that this process means by its type's name alone, such as "cuda"."""
    if device.index is not None:
        torch.accelerator.set_device_index(device.index)


def described() -> list[Device]:
    """Return this machine's devices, the CPU first."""
    return [_described(torch.device(name)) for name in names()]


def _accelerators() -> list[str]:
    """Return the types of device beside the CPU that this machine has."""
    found = torch.accelerator.current_accelerator(check_available=True)
    kinds = dict.fromkeys([*TYPES, *([found.type] if found else [])])
    return [kind for kind in kinds if torch.get_device_module(kind).is_available()]


def _of_type(kind: str) -> list[str]:
    """Return the names of all devices of a type; Apple's has one, without a number."""
    if kind == "mps":
        return [kind]
    return [f"{kind}:{n}" for n in range(torch.get_device_module(kind).device_count())]


def _described(device: torch.device) -> Device:
    module: Any = torch.get_device_module(device)
    memory = None
    if device.type == "cpu":
        memory = machine_memory()
    elif hasattr(module, "get_device_properties"):
        memory = int(module.get_device_properties(device).total_memory)
    elif hasattr(module, "recommended_max_memory"):
        memory = int(module.recommended_max_memory())
    return Device(str(device), _model(device), memory, precisions(str(device)))


def _model(device: torch.device) -> str:
    """Return what its maker calls a device, or nothing where it does not say."""
    module: Any = torch.get_device_module(device)
    if device.type == "cpu":
        return _processor()
    if hasattr(module, "get_device_properties"):
        return str(module.get_device_properties(device).name)
    return platform.processor() if hasattr(module, "recommended_max_memory") else ""


@lru_cache
def precisions(name: str) -> tuple[str, ...]:
    """Return the names of the floating-point types that a device multiplies matrices in."""
    return tuple(n for n, kind in PRECISIONS.items() if _multiplies(torch.device(name), kind))


def _multiplies(device: torch.device, kind: torch.dtype) -> bool:
    try:
        ones = torch.ones(2, 2, device=device).to(kind)
        return float((ones @ ones)[0, 0]) == 2.0
    except (RuntimeError, TypeError):
        return False


def _processor() -> str:
    """Return the model of this machine's processor."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if match := re.match(r"model name\s*:\s*(.+)", line):
                return match[1].strip()
    return platform.processor() or platform.machine()
