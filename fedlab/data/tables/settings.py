"""Keys of a user's own table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from fedlab.data.clients_by import Site, check_path_or_sites
from fedlab.data.dataset import DataSettings
from fedlab.data.formats.delimited import Separator, known_encoding
from fedlab.data.table_encoding import Kind, Missing
from fedlab.data.tables.reading import MISSING_WORDS
from fedlab.data.tables.target import TargetKind
from fedlab.data.unreadable import OnError
from fedlab.settings import FilePath

FILE = "file"
"""The value of ``clients_by`` that makes each file of a folder a client."""
SITE = "site"
"""The column that names a row's site in further files, where sites are listed."""


class TableSettings(DataSettings):
    """Keys of the table data set."""

    name: str = "table"
    path: FilePath | None = Field(
        None, description="CSV, TSV or Parquet file with a header, or a folder of such files"
    )
    target: str = Field(min_length=1, description="column to learn")
    clients_by: str | None = Field(
        None,
        min_length=1,
        description="column that says whose a row is (hospital, site, user); 'file': each file of "
        "the folder is a client",
    )
    sites: tuple[Site, ...] = Field((), description="clients, a table with name and path each")
    target_kind: TargetKind = Field(
        "auto",
        description="what is learned: classes or numbers; 'auto' takes words, and up to 20 "
        "different whole numbers, for classes",
    )
    positive: str | None = Field(
        None,
        description="the class that AUPRC, for instance, is about; default: the last in the order "
        "of names",
    )
    columns: dict[str, Kind] = Field(
        default_factory=dict,
        description="what columns hold, where that is not seen rightly: { age = 'number', ward = "
        "'category', seen = 'date' }",
    )
    drop: tuple[str, ...] = Field((), description="columns that are not learned from")
    missing: Missing = Field(
        "indicator",
        description="what stands for a missing value: 'mean' (of a category the most frequent "
        "value), 'most-frequent', 'indicator' (as 'mean', and a further input says that it is "
        "missing; a category gets one more value), 'drop' (such rows are left out), 'refuse'",
    )
    missing_words: tuple[str, ...] = Field(
        MISSING_WORDS,
        description="what stands for a missing value, in any case; an empty field always does",
    )
    statistics: Literal["federated", "client"] = Field(
        "federated",
        description="by what inputs are scaled and missing values filled: sums over all clients' "
        "training rows, or each client's own training rows",
    )
    most_values: int = Field(
        50, ge=2, le=10_000, description="values of a category with an input; rarer ones have none"
    )
    test_path: FilePath | None = Field(
        None, description="file of the server's test set, with the same columns"
    )
    test_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="part of each client's rows, and of each class, that is the server's test set",
    )
    on_error: OnError = Field(
        "refuse",
        description="what is done about rows without a target or a client: nothing is trained, or "
        "they are left out, and a line says how many",
    )
    encoding: str = Field(
        "auto",
        description="of text files: utf-8, utf-16, cp1252, ...; 'auto': by byte order mark, else "
        "UTF-8, else Windows-1252",
    )
    separator: Separator = Field("auto", description="between the fields of text files")

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        return known_encoding(encoding)

    @model_validator(mode="after")
    def _says_where(self) -> TableSettings:
        check_path_or_sites(self.path, self.sites, self.clients_by, "file or folder")
        return self
