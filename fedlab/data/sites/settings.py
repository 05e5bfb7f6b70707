"""Keys of ``[data]`` of a scenario whose sites bring their own data: a schema, and no data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from fedlab.data.dataset import DataSettings
from fedlab.data.names import class_name
from fedlab.data.table_encoding import Kind
from fedlab.data.tokenisers import AUTO, HUGGING_FACE, TEXTGENRNN, known_tokens
from fedlab.settings import FilePath, IsPath, Settings

KindOfData = Literal["pictures", "table", "text", "sound", "series"]
NAME = "sites"
_OF_KIND = {
    "pictures": {"image_size", "channels"},
    "table": {"columns", "target", "missing", "target_mean", "target_deviation"},
    "text": {"tokens", "vocabulary", "length", "target", "target_mean", "target_deviation"},
    "sound": {"rate", "seconds", "mels", "window", "hop", "lowest", "highest", "volume"}
    | {"mean", "deviation"},
    "series": {"columns", "target", "window", "horizon", "stride"}
    | {"target_mean", "target_deviation"},
}
"""Which keys each kind of data has; the others are every kind's."""
PRINTABLE = tuple(chr(code) for code in (10, *range(32, 127)))
"""The characters that texts are made of where the scenario names no others."""


class SiteColumn(Settings):
    """Keys of a column in ``[data.columns]``."""

    kind: Kind = Field("number", description="what it holds; of series, numbers")
    values: tuple[str, ...] = Field(
        (), description="a category's values, each of which is an input of its own"
    )
    others: bool = Field(
        False, description="a category may hold further values, which have no input of their own"
    )
    optional: bool = Field(
        False, description="rows may lack a value; how that is read, data.missing says"
    )
    mean: float | None = Field(None, description="of numbers, with data.statistics = 'given'")
    deviation: float | None = Field(
        None, gt=0, description="of numbers, with data.statistics = 'given'"
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "category" and not self.values:
            raise ValueError("values: a category lists its values, so that all sites number alike")
        if self.kind != "category" and (self.values or self.others):
            raise ValueError(f"values, others: they are a category's, and this is a {self.kind}")
        if self.kind == "category" and (self.mean, self.deviation) != (None, None):
            raise ValueError("mean, deviation: they are of numbers, and this is a category")
        return self


class SitesSettings(DataSettings):
    """Keys of the sites data set."""

    name: str = NAME
    kind: KindOfData = Field(description="what all sites hold")
    sites: int = Field(
        ge=1, le=10_000, description="how many sites there are, all of which the run waits for"
    )
    site_files: tuple[FilePath, ...] = Field(
        (),
        description="the sites' files, where they are on this machine: so the run is a simulation "
        "of the deployment, to the same figures",
    )
    if TYPE_CHECKING:
        test: Any = None
    else:
        test: SerializeAsAny[Settings] | None = Field(
            None,
            description="the server's own test data, a table with the keys of a data set; without "
            "it the model is evaluated at the sites alone (evaluation.federated)",
        )
    classes: tuple[str, ...] = Field(
        (), description="the classes, in order; a site need not hold all of them"
    )
    target: str = Field(
        "",
        description="what is learned, where there are no classes: a number of this name; of "
        "series, the column that is forecast; of tables, how the column of classes or numbers is "
        "called where the model is used (a site's own data.target names its column)",
    )
    target_mean: float | None = Field(None, description="with data.statistics = 'given'")
    target_deviation: float | None = Field(None, gt=0, description="with data.statistics = 'given'")
    statistics: Literal["federated", "given"] = Field(
        "federated",
        description="by what numbers are scaled: 'federated', by sums over all sites' training "
        "rows, which each site has to permit; 'given', by the scenario's own mean and deviation. "
        "Pictures and classes of texts need none",
    )
    collect: tuple[Literal["class_counts", "names"], ...] = Field(
        (),
        description="what else sites are asked for: 'class_counts', how many examples of each "
        "class each holds; 'names', what each is called. A site that does not permit it is refused",
    )
    image_size: int = Field(
        64, ge=4, le=1024, description="pictures: scaled and cropped to this square"
    )
    channels: Literal[1, 3] = Field(3, description="pictures: 3 colour, 1 grey")
    columns: dict[str, SiteColumn] = Field(
        default_factory=dict,
        description="table, series: the input columns by name, in order: { age = { kind = "
        "'number' }, ward = { kind = 'category', values = ['a', 'b'] } }",
    )
    missing: Literal["indicator", "mean", "refuse"] = Field(
        "indicator",
        description="table: what stands for a missing value of an optional column: 'mean', of a "
        "category none; 'indicator', the same, and a further input says that it is missing",
    )
    tokens: Annotated[str, IsPath((AUTO, "characters", "words", TEXTGENRNN), HUGGING_FACE)] = Field(
        "characters",
        description="text: 'characters', 'words' (data.vocabulary lists them), 'textgenrnn', or "
        "'huggingface:MODEL', a model's tokeniser, which every site has to have",
    )
    vocabulary: tuple[str, ...] = Field(
        (), description="text: the tokens; default, of characters: the printable ones of ASCII"
    )
    length: int = Field(128, ge=1, le=10_000, description="text: cut or padded to so many tokens")
    rate: int = Field(16_000, ge=1000, le=192_000, description="sound: samples a second")
    seconds: float = Field(1.0, gt=0, le=600, description="sound: cut or padded to this length")
    mels: int = Field(40, ge=4, le=256, description="sound: bands of the spectrogram")
    window: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="sound: milliseconds of a window, default 25; series: input steps, default 24",
    )
    hop: float = Field(10.0, ge=1, le=500, description="sound: milliseconds between windows")
    lowest: float = Field(0.0, ge=0, le=96_000, description="sound: where the first band begins")
    highest: float | None = Field(None, gt=0, le=96_000, description="sound: and the last one ends")
    volume: float | None = Field(
        -30.0, ge=-90, le=0, description="sound: decibels that quieter recordings are amplified to"
    )
    mean: float | None = Field(None, description="sound: with data.statistics = 'given'")
    deviation: float | None = Field(None, gt=0, description="sound: likewise")
    horizon: int = Field(1, ge=1, le=100_000, description="series: steps to forecast")
    stride: int = Field(1, ge=1, le=100_000, description="series: steps between windows")

    @field_validator("tokens")
    @classmethod
    def _is_known(cls, tokens: str) -> str:
        if tokens == AUTO:
            raise ValueError("'auto' looks at the texts, and these are at the sites; name one")
        return known_tokens(tokens)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Any:
        kind = self.kind
        of_others = {key for keys in _OF_KIND.values() for key in keys} - _OF_KIND[kind]
        for key in sorted(of_others & self.model_fields_set):
            if getattr(self, key) != type(self).model_fields[key].get_default(
                call_default_factory=True
            ):
                kinds = " and ".join(k for k, keys in _OF_KIND.items() if key in keys)
                yield f"{key}: it is for data of kind {kinds}, and kind is '{kind}'"
        names = [class_name(name) for name in self.classes]
        if len({*names}) < len(names) or not all(names):
            yield "classes: each has a name, and a name of its own"
        if len(names) == 1:
            yield "classes: two or more are needed"
        if names and self.target and kind != "table":
            yield "target: numbers are learned, or classes; leave out one of target and classes"
        if not names and not self.target:
            yield "classes is missing: what can be learned, the scenario says, in the order of it"
        if not names and kind in ("pictures", "sound"):
            yield f"classes is missing: of {kind}, classes are learned"
        if kind in ("table", "series") and not self.columns:
            yield "columns is missing: it lists the inputs, which every site has to have"
        if kind == "series" and any(c.kind != "number" for c in self.columns.values()):
            yield "columns: series are of numbers"
        if kind == "text" and self.tokens == "words" and not self.vocabulary:
            yield "vocabulary is missing: it lists the words, since the texts are at the sites"
        if self.site_files and len(self.site_files) != self.sites:
            yield f"site_files: {len(self.site_files)} files, and sites = {self.sites}"
        if self.statistics == "given":
            yield from self._not_given()

    def _not_given(self) -> Any:
        for name, column in self.columns.items():
            if column.kind != "category" and None in (column.mean, column.deviation):
                yield f"columns.{name}: with statistics = 'given' it has a mean and a deviation"
            if column.kind == "date":
                yield f"columns.{name}: dates are scaled by federated statistics alone"
        if not self.classes and None in (self.target_mean, self.target_deviation):
            yield "target_mean, target_deviation: with statistics = 'given' they are there"
        if self.kind == "sound" and None in (self.mean, self.deviation):
            yield "mean, deviation: with statistics = 'given' they are there"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes as they count: without spaces around them."""
        return tuple(class_name(name) for name in self.classes)
