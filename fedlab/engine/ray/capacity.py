"""What a machine has for the workers of a run, before any of them is started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from fedlab.engine.devices import CPU, dealt
from fedlab.engine.ray.sharing import is_measured
from fedlab.engine.worker.device_memory import says_what_is_free
from fedlab.process import available_memory

WORKER_BYTES = 120 << 20
"""What a worker that is forked off takes for itself, on a small model."""
COPIES = 4
"""Of the weights: the model, its gradient, the received and the returned ones."""
SINGLE = 4
GIGABYTE = 1e9


def fitting(gpus: float, per_worker: float) -> int:
    """Return how many workers fit on GPUs; a worker's share lies on one GPU, or on whole ones."""
    if per_worker <= 0:
        raise ValueError("a worker without a GPU fits anywhere")
    if per_worker >= 1:
        return int(gpus // per_worker)
    return int(gpus) * int(1 / per_worker + 1e-9)


def workers_of(settings: Any) -> int:
    """Return how many workers run on this machine.

    That is what is asked for, or one per core; on accelerators as many as share them, at first one
    where that is measured.
    """
    if settings.workers is not None:
        return int(settings.workers)
    if settings.gpus_per_worker:
        return max(1, min(cores_here(), fitting(gpus_here(), settings.gpus_per_worker)))
    places = dealt(settings.device)
    if places == [CPU]:
        return cores_here()
    return len(places) * (1 if is_measured(settings) else int(settings.workers_per_device))


def devices_of(settings: Any) -> list[str]:
    """Return the names of the devices that workers are dealt; none where Ray deals them."""
    return [] if settings.gpus_per_worker else [str(device) for device in dealt(settings.device)]


def reserved(settings: Any) -> dict[str, float]:
    """Return what Ray reserves on a cluster for a worker: CPUs, a share of a GPU, and bytes."""
    share = settings.gpus_per_worker or 1 / settings.workers_per_device
    gpus = 0.0 if settings.device == CPU.type else share
    memory = settings.memory_per_worker * GIGABYTE
    return {"num_cpus": settings.cpus_per_worker, "num_gpus": gpus, "memory": memory}


def cores_here() -> int:
    """Return how many cores this machine has."""
    return os.cpu_count() or 1


def gpus_here() -> int:
    """Return how many GPUs this process may use."""
    import torch

    return torch.cuda.device_count()


def objections(settings: Any) -> Iterator[str]:
    """Yield why this machine cannot run the workers that are asked for; Ray would wait for ever."""
    share = settings.gpus_per_worker
    if is_measured(settings):
        yield from _measurable(settings)
    if not share:
        return
    if settings.device != "cuda":
        yield (
            f"engine.gpus_per_worker = {share:g}: Ray reserves CUDA cards, and engine.device = "
            f"'{settings.device}' trains on others; set device = 'cuda', or gpus_per_worker to 0"
        )
        return
    if share > 1 and share != int(share):
        yield (
            f"engine.gpus_per_worker = {share:g}: above 1 Ray gives whole GPUs alone; set a whole "
            "number"
        )
        return
    gpus, workers = gpus_here(), workers_of(settings)
    if not gpus:
        yield (
            f"engine.gpus_per_worker = {share:g}: torch finds no GPU on this machine; set 0, the "
            "default"
        )
    elif (most := fitting(gpus, share)) < workers:
        has = "1 GPU" if gpus == 1 else f"{gpus} GPUs"
        yield (
            f"engine.gpus_per_worker: {workers} workers of {share:g} GPUs do not fit on this "
            f"machine, which has {has}; set engine.workers to {most or 'fewer'}"
            + ("" if most else ", or gpus_per_worker lower")
        )


def _measurable(settings: Any) -> Iterator[str]:
    """Yield which device does not say how much memory is free."""
    for device in dealt(settings.device):
        if device != CPU and not says_what_is_free(device):
            yield (
                f"engine.workers_per_device = 'auto': '{device}' does not say how much memory is "
                "free; set a number"
            )


def notes(settings: Any, weights: int) -> Iterator[str]:
    """Yield what the workers that are asked for take of this machine beyond what it has.

    Args:
        settings: The table ``[engine]``.
        weights: How many weights the model has.
    """
    cores, workers = cores_here(), workers_of(settings)
    if workers * settings.threads > cores and (workers > 1 or settings.threads > 1):
        yield (
            f"engine: {workers} workers of {settings.threads} torch threads share {cores} cores "
            "and take turns; fewer workers need less memory and are as fast"
        )
    only_there = "does nothing on a machine of one's own, only on a cluster (engine.address)"
    if settings.cpus_per_worker != 1:
        yield (
            f"engine.cpus_per_worker = {settings.cpus_per_worker:g} {only_there}; engine.threads "
            "says how many cores a client uses"
        )
    if settings.memory_per_worker:
        yield (
            f"engine.memory_per_worker = {settings.memory_per_worker:g} {only_there}; "
            "engine.workers says how many there are"
        )
    needed, free = workers * (WORKER_BYTES + COPIES * SINGLE * weights), available_memory()
    if free is not None and needed > free:
        yield (
            f"engine.workers: {workers} workers need {needed / GIGABYTE:.1f} GB or more with this "
            f"model, and {free / GIGABYTE:.1f} GB are free; fewer workers need less"
        )
