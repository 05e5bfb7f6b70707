"""Synthetic token sequences that each test one ability: long memory, reordering."""

from __future__ import annotations

import torch
from pydantic import Field

from fedlab import seeding
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.registry import datasets


class SyntheticSettings(DataSettings):
    """Keys of the synthetic sequences."""

    symbols: int = Field(4, ge=2, le=1000, description="number of different symbols")
    train_examples: int = Field(2000, ge=1, le=100_000, description="number of training examples")
    test_examples: int = Field(500, ge=1, le=100_000, description="number of test examples")


@datasets.register("long-range")
class LongRange:
    """Remember the first of T + 1 symbols: the class is the first token, the rest is noise.

    After Hochreiter and Schmidhuber 1997, "Long Short-Term Memory": the noise tokens are of another
    alphabet than the first, so that only memory over all T steps determines the class.
    """

    class Settings(SyntheticSettings):
        """Keys of the long-range data set."""

        name: str = "long-range"
        noise_steps: int = Field(
            50, ge=1, le=1000, description="number of noise tokens after the first"
        )
        noise_symbols: int = Field(4, ge=1, le=1000, description="number of different noise tokens")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return int16 tokens (N, 1 + noise_steps) with classes (N,)."""
        settings = self.settings
        vocabulary = settings.symbols + settings.noise_symbols
        labels = tuple(str(symbol) for symbol in range(settings.symbols))
        shape = (1 + settings.noise_steps,)
        task = Task(
            "classification", "text", shape, settings.symbols, labels, vocabulary=vocabulary
        )
        train = self._draw(settings.train_examples, seed, "train")
        return Dataset(task, train, self._draw(settings.test_examples, seed, "test"))

    def _draw(self, count: int, seed: int, part: str) -> Examples:
        settings = self.settings
        generator = seeding.torch_generator(seed, "long-range", part)
        first = torch.randint(settings.symbols, (count, 1), generator=generator)
        shape = (count, settings.noise_steps)
        noise = torch.randint(settings.noise_symbols, shape, generator=generator)
        tokens = torch.cat([first, settings.symbols + noise], 1)
        return Examples(tokens.to(torch.int16), first[:, 0])


@datasets.register("reverse")
class Reverse:
    """Reverse a sequence of symbols: sequence-to-sequence.

    Token 0 starts the decoder's input; symbols are 1, 2, ....
    """

    class Settings(SyntheticSettings):
        """Keys of the reverse data set."""

        name: str = "reverse"
        symbols: int = Field(10, ge=2, le=1000, description="number of different symbols")
        length: int = Field(8, ge=1, le=1000, description="length of a sequence")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return int16 tokens (N, 2 · length), source and decoder's input, targets (N, length)."""
        settings = self.settings
        size = settings.symbols + 1
        task = Task(
            "sequence-to-sequence",
            "text",
            (2 * settings.length,),
            size,
            vocabulary=size,
            source_length=settings.length,
        )
        train = self._draw(settings.train_examples, seed, "train")
        return Dataset(task, train, self._draw(settings.test_examples, seed, "test"))

    def _draw(self, count: int, seed: int, part: str) -> Examples:
        shape = (count, self.settings.length)
        generator = seeding.torch_generator(seed, "reverse", part)
        source = torch.randint(1, self.settings.symbols + 1, shape, generator=generator)
        targets = source.flip(1)
        start = torch.zeros((count, 1), dtype=torch.int64)
        inputs = torch.cat([source, start, targets[:, :-1]], 1)
        return Examples(inputs.to(torch.int16), targets)
