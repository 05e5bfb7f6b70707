"""Keys of ``[data]`` for texts of a user's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fedlab.data.clients_by import Site, check_path_or_sites
from fedlab.data.dataset import DataSettings
from fedlab.data.formats.delimited import Separator, known_encoding
from fedlab.data.formats.table import MISSING
from fedlab.data.tokenisers import AUTO, HUGGING_FACE, TEXTGENRNN, known_tokens
from fedlab.data.unreadable import OnError, on_error_field
from fedlab.settings import FilePath, IsPath, renamed

TargetKind = Literal["infer", "classes", "numbers"]
FOLDER = "folder"
"""The value of ``clients_by`` that makes each subfolder or file a client."""


class TokenSettings(DataSettings):
    """Keys of ``[data]`` that say how texts become rows of tokens."""

    tokens: Annotated[str, IsPath((AUTO, "characters", "words", TEXTGENRNN), HUGGING_FACE)] = Field(
        AUTO,
        description="'characters', 'words', 'huggingface:MODEL' for the tokeniser of a model (its "
        "folder, or its name on the hub), 'textgenrnn' for the 465 characters of that network, or "
        "'auto': characters for names and the like, words for longer texts",
    )
    length: int | None = Field(
        None,
        ge=1,
        le=10000,
        description="length in tokens to which texts are cut or padded; default: what 95 % of the "
        "training texts have, 256 at most, or 512 of characters",
    )
    vocabulary: int = Field(
        5000,
        ge=3,
        le=32000,
        description="size of the vocabulary: most frequent tokens of the training part",
    )
    min_count: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="how often a token occurs in the training part, to be in the vocabulary; "
        "default: 2 for words, 1 for characters",
    )

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, keys: Any) -> Any:
        """Accept the keys' former names."""
        return renamed(keys, {"unit": "tokens", "group_column": "clients_by"})

    @field_validator("tokens")
    @classmethod
    def _is_known(cls, tokens: str) -> str:
        return known_tokens(tokens)


class TextSettings(TokenSettings):
    """Keys of the text data set."""

    name: str = "text"
    path: FilePath | None = Field(
        None,
        description="a table (CSV, TSV, Parquet, JSON lines), a folder with one subfolder of .txt "
        "files per class, a folder of .txt files with one example a line and a file per class, or "
        "one with the parts train and test (or val)",
    )
    sites: tuple[Site, ...] = Field(
        (), description="clients by name, each with its own file or folder, in place of path"
    )
    clients_by: str | None = Field(
        None,
        min_length=1,
        description="who is a client: a column of a table, or 'folder': each subfolder (or table) "
        "of path; left out, a partitioner splits the examples",
    )
    text_column: str | None = Field(
        None,
        min_length=1,
        description="column of a table that holds the text; default: the one called 'text', or "
        "that holds the longest texts",
    )
    label_column: str | None = Field(
        None,
        min_length=1,
        description="column of a table that holds the class or score; default: the one called "
        "'label', 'class', 'target', 'score' or the like",
    )
    targets: TargetKind = Field(
        "infer",
        description="what is predicted: 'classes', 'numbers' (a regression), or 'infer': a column "
        "of numbers with decimals or of many different ones is a regression",
    )
    missing: tuple[str, ...] = Field(
        MISSING,
        description="words that stand for a missing class, score or client, in any case; an empty "
        "field always does",
    )
    encoding: str = Field(
        "auto",
        min_length=1,
        description="of CSV files: 'utf-8', 'cp1252', ...; 'auto' takes UTF-8, else Windows-1252 "
        "with a note",
    )
    separator: Separator = Field("auto", description="what stands between the fields of CSV files")
    test_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="fraction held out as the server's test set, with the same share of each class "
        "and client, if there is no part 'test' or 'val'",
    )
    on_error: OnError = on_error_field()

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str) -> str:
        return known_encoding(encoding)

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        check_path_or_sites(self.path, self.sites, self.clients_by, "file or folder")
        return self
