"""What is compared: built-in scenarios as they are, and with other parts of the network trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BARE = ("model.adapter=none", "strategy.name=fedavg")
ONE_CLIENT = ("data.partition.name=iid", "data.partition.clients=1", "data.partition.alpha=none")
SHORT = ("data.length=32",)
"""A third of the scenario's length: all that a processor without accelerator has time for."""


@dataclass(frozen=True)
class Cell:
    """A row of the table.

    Attributes:
        what: What is trained, for the table.
        scenario: A built-in scenario.
        overrides: Keys of it that are others.
    """

    what: str
    scenario: str
    overrides: tuple[str, ...] = ()


def _head(scenario: str) -> Cell:
    """Return the head alone, for as many rounds as the scenario has, by its own recipe."""
    keys = ("client.epochs=10", "client.batch_size=32", "client.optimizer.lr=0.003")
    alone = ("phases=none", "rounds=11", "model.trainable=head", *keys)
    return Cell("the head alone", scenario, (*BARE, *alone))


def _blocks(scenario: str, count: int, rate: float, *others: str) -> Cell:
    """Return full fine-tuning of the blocks that the scenario adapts, after the same head."""
    keys = (f"phases.1.trainable=last:{count}", f"phases.1.client.optimizer.lr={rate}")
    return Cell(f"all weights of the last {count} blocks", scenario, (*BARE, *keys, *others))


NETWORKS: Mapping[str, tuple[str, tuple[Cell, ...]]] = {
    "vit": (
        "Vision Transformer (DINOv2-small, six blocks)",
        (
            Cell("LoRA, rank 4 (`lora-vit`)", "lora-vit"),
            _head("lora-vit"),
            Cell("FFA-LoRA (`ffa-lora-vit`)", "ffa-lora-vit"),
            Cell("FedEx-LoRA (`fedex-lora-vit`)", "fedex-lora-vit"),
            Cell("HetLoRA, ranks 1, 2 and 4 (`hetlora-vit`)", "hetlora-vit"),
            Cell("FLoRA, ranks 1, 2 and 4 (`flora-vit`)", "flora-vit"),
            Cell("LoRA, top-k, FedAdam (`lora-top-k-fedadam`)", "lora-top-k-fedadam"),
            Cell("(IA)³ (`ia3-vit`)", "ia3-vit"),
            Cell("bottlenecks of 8 (`bottleneck-vit`)", "bottleneck-vit"),
            _blocks("lora-vit", 2, 0.0003),
            _blocks("lora-vit", 6, 0.0001),
            Cell("LoRA, pooled data", "lora-vit", ONE_CLIENT),
        ),
    ),
    "cnn": (
        "CNN (EfficientNet-Lite0)",
        (
            Cell("LoRA, rank 4 (`lora-cnn`)", "lora-cnn"),
            _head("lora-cnn"),
            _blocks("lora-cnn", 3, 0.0007),
            Cell("LoRA, pooled data", "lora-cnn", ONE_CLIENT),
        ),
    ),
    "text": (
        "sentence Transformer (all-MiniLM-L6-v2), the first 32 tokens of each speech",
        (
            Cell("LoRA, rank 8 (`lora-minilm`)", "lora-minilm", SHORT),
            Cell("the head alone (`text-transformer-head`)", "text-transformer-head", SHORT),
            _blocks("lora-minilm", 2, 0.0003, "model.trainable=last:2", *SHORT),
        ),
    ),
}
