"""Every number of every part has bounds, and no key takes what is no finite number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from fedlab import registry
from fedlab.errors import FedlabError
from fedlab.models.backbone import BackboneSettings
from fedlab.models.transformers_settings import TransformersSettings
from fedlab.registry import KINDS
from fedlab.scenario.schema import DataKeys, Scenario
from fedlab.settings import LONGEST, Settings
from tests.shared import scenario_with


def settings_classes() -> list[type[BaseModel]]:
    """Return the settings of every registered part, and all that are inside them."""
    found: dict[type[BaseModel], None] = {}

    def add(settings: type[BaseModel]) -> None:
        if settings in found:
            return
        found[settings] = None
        for field in settings.model_fields.values():
            for inside in tables_in(field.annotation):
                add(inside)

    for settings in (Scenario, DataKeys, BackboneSettings, TransformersSettings):
        add(settings)
    for known in (*(kind.registry for kind in KINDS), registry.optimizers):
        for name in known.names():
            settings = getattr(known.get(name), "Settings", None)
            if settings is not None:
                add(settings)
    return list(found)


def tables_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from tables_in(argument)


def numbers_in(annotation: Any, wrapped: int = 0) -> Iterator[tuple[type, int]]:
    """Yield each kind of number that a field takes, and within how many lists."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from numbers_in(arguments[0], wrapped)
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from numbers_in(argument, wrapped)
    elif origin is tuple:
        for argument in arguments:
            yield from numbers_in(argument, wrapped + 1)
    elif annotation in (int, float):
        yield annotation, wrapped


FIELDS = [
    pytest.param(settings, name, id=f"{settings.__qualname__}.{name}")
    for settings in settings_classes()
    for name, field in settings.model_fields.items()
    if any(numbers_in(field.annotation))
]
BEYOND = [10**39, -(10**39), 1e300, -1e300, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize(("settings", "name"), FIELDS)
def test_every_number_is_bounded_and_finite(settings: type[BaseModel], name: str) -> None:
    (_, wrapped), *_ = numbers_in(settings.model_fields[name].annotation)
    for number in BEYOND:
        value: Any = number
        for _ in range(wrapped):
            value = (value, value)
        with pytest.raises(ValidationError) as refused:
            settings.model_validate({name: value}, strict=True)
        assert any(problem["loc"][0] == name for problem in refused.value.errors()), value


def test_there_are_fields_to_check() -> None:
    assert len(FIELDS) > 200


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("engine.threads = 1_000_000_000", "engine.threads: it must be at most 1024, not 100000"),
        ("engine.client_timeout = 1e300", "engine.client_timeout: it must be at most 10000000,"),
        ("rounds = 10_000_000_000", "rounds: it must be at most 1000000, not 10000000000"),
        ("client.batch_size = 10_000_000_000", "batch_size: it must be at most 1000000000, not"),
        ("client.optimizer.lr = 1e39", "client.optimizer.lr: it must be at most 1e+38, not 1e+39"),
        ("client.optimizer.lr = nan", "client.optimizer.lr: a finite number belongs here, not nan"),
        ("data.partition.clients = 1_000_000_000_000", "it must be at most 100000000, not 1000"),
        ("model.hidden = [0, 1e9]", "model.hidden.0: it must be at least 1, not 0"),
        ("seed = -1", "seed: it must be at least 0, not -1"),
        ('attack = {name = "bit-flip", fraction = 0.1, bits = [33]}', "attack.bits.0: it must be"),
    ],
)
def test_a_number_out_of_bounds_is_said_with_the_bound(change: str, sentence: str) -> None:
    with pytest.raises(FedlabError) as refused:
        scenario_with(change)
    assert sentence in str(refused.value)


def test_a_list_is_bounded_too() -> None:
    with pytest.raises(FedlabError, match=r"model.hidden: a list has at most 10000 entries, not 1"):
        scenario_with({"model": {"hidden": [1] * (LONGEST + 1)}})


def test_settings_of_somebody_elses_are_bounded_without_their_doing() -> None:
    class Theirs(Settings):
        plain: float = 0.0
        deep: tuple[tuple[int, ...], ...] = ()
        large: int = 0

    assert Theirs(plain=1e30, deep=((10**9,),)).plain == 1e30
    for keys in ({"plain": -1e39}, {"deep": ((1, 10**10),)}, {"large": -(10**10)}):
        with pytest.raises(ValidationError):
            Theirs.model_validate(keys)
