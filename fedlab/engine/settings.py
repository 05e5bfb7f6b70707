"""Keys of ``[engine]`` that every engine has: how a scenario is computed, and not what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedlab.engine.devices import AUTO, NAME
from fedlab.settings import Settings


class EngineSettings(Settings):
    """Keys of ``[engine]`` that every engine has."""

    name: str
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="torch threads per client; a change changes the last bits of results",
    )
    device: str = Field(
        "cpu",
        pattern=rf"^({AUTO}|{NAME})$",
        description="where clients train, the model is evaluated, and the server distils and "
        "compares updates: 'cpu'; 'auto', the first "
        "accelerator where there is one; 'cuda', 'mps' or another type; 'cuda:1', one of several "
        "(`fedlab list devices`); another type of device changes the last bits of results",
    )
    deterministic: bool = Field(
        True,
        description="on an accelerator, compute by algorithms that give the same bits in every run "
        "and on any number of workers: some are slower, and an operation that has none is refused; "
        "false: bits may differ between runs; on the CPU they do not in either case, and nothing "
        "gets slower",
    )
    precision: Literal["float32", "bf16", "fp16"] = Field(
        "float32",
        description="what networks compute in while they are trained and evaluated; 'bf16', "
        "'fp16': products of matrices and convolutions in bfloat16 or float16 (autocast), of which "
        "two or three digits count; weights, gradients, losses, what travels and what the server "
        "computes stay float32. Faster, and half the memory for activations, on a device with "
        "units for it; 'fp16' scales losses, and waits for the device at each step",
    )
    tf32: bool = Field(
        False,
        description="on NVIDIA's devices, compute float32 products in TF32: several times as fast, "
        "and three digits in place of seven count; false: float32 means float32",
    )
    compile: bool = Field(
        False,
        description="let torch compile the network: faster steps of networks whose layers are many "
        "and small, on a device above all, for some 10 to 100 seconds in each worker before the "
        "first round; last bits of results change, and may differ between numbers of workers. "
        "Whether it pays only a try on the device says",
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="compute a batch in pieces of at most so many examples, one after the other, "
        "whose gradients add up to the batch's: memory for the activations of a piece, and the "
        "same steps but for the last bits and for what dropout draws; default: all at once",
    )
    checkpointing: bool = Field(
        False,
        description="keep only the inputs of a network's blocks between forward and backward pass, "
        "and compute again what is in them: memory for one block's activations in place of all, "
        "for about a third more time; the bits are the same",
    )
    vectorised: Literal["auto", False] | Annotated[int, Field(ge=1, le=256)] = Field(
        "auto",
        description="train this many clients at once in a worker, where their network and task "
        "allow it; 'auto': dense networks, 5 or, of a cohort of 100 and more, 10; with device = "
        "'cuda' any small network without batch norm and dropout, as many as fit, up to 32; a "
        "change changes the last bits of results",
    )
    clients_per_block: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        "auto",
        description="how many clients, if not `vectorised`, a worker runs and adds up in a row; "
        "'auto': a twentieth of the cohort, from 1 to 16. Fewer keep more workers busy, and each "
        "block costs a message and a vector; a change changes the last bits of results",
    )
    feature_cache: Literal["auto", False] = Field(
        "auto",
        description="compute what a frozen part of the model makes of each sample once, and keep "
        "it on disk, where that is possible and pays",
    )
    client_timeout: float | None = Field(
        None,
        gt=0,
        le=10**7,
        description="seconds that one client may take to train or to evaluate; one that takes "
        "longer is stopped and has failed; default: no limit",
    )
