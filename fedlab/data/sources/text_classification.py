"""A user's own texts, under the name that older scenarios have for them."""

from __future__ import annotations

from fedlab.data.sources.text import Text
from fedlab.data.texts.settings import TextSettings
from fedlab.registry import datasets


@datasets.register("text-classification")
class TextClassification(Text):
    """The same as 'text', under its former name."""

    class Settings(TextSettings):
        """Keys of the text data set."""

        name: str = "text-classification"
