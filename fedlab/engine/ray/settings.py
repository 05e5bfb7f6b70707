"""Keys of ``[engine]`` of the ray engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedlab.engine.settings import EngineSettings


class RayEngineSettings(EngineSettings):
    """Keys of ``[engine]`` with name = "ray", the default."""

    name: str = "ray"

    workers: int | None = Field(
        None, ge=1, le=4096, description="worker processes; default: one per core"
    )
    cpus_per_worker: float = Field(1.0, gt=0, le=1024, description="what Ray reserves for a worker")
    memory_per_worker: float = Field(
        0.0,
        ge=0,
        le=10**5,
        description="GB of memory that Ray reserves for a worker on a cluster, so that a node has "
        "no more workers than fit into its memory; 0: by CPUs and GPUs alone",
    )
    workers_per_device: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = Field(
        1,
        description="how many workers share an accelerator, where `workers` does not say how many "
        "there are; 'auto': as many as fit beside the one that trains the first clients of a run "
        "or phase, by the memory that it takes, and no more than there are cores; no number "
        "changes results",
    )
    gpus_per_worker: float = Field(
        0.0,
        ge=0,
        le=1024,
        description="what Ray reserves for a worker, with device = 'cuda'; 0 on a machine of one's "
        "own: workers are dealt its cards in turn; 0 on a cluster: a card for workers_per_device",
    )
    address: str | None = Field(
        None,
        description="a running Ray cluster: 'HOST:PORT' or 'auto', where this machine is a node of "
        "it, or 'ray://HOST:PORT' from outside; default: RAY_ADDRESS, else a Ray of this run's own",
    )
