"""Names of registered classes as keys of a scenario: checked like any other value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from fedlab.errors import FedlabError
from fedlab.registry import Registry


@dataclass(frozen=True)
class NameIn:
    """What a text field holds: a name in a registry, or ``module:Class``.

    Attributes:
        registry: Which names are known.
        first: What stands first where all are listed; such a name may be none of the registry's.
    """

    registry: Registry
    first: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Return all known names, those that stand first before the others."""
        others = [name for name in self.registry.names() if name not in self.first]
        return [*self.first, *others]

    def check(self, name: str) -> str:
        """Return the name.

        Raises:
            PydanticKnownError: If nothing is known by it.
            ValueError: If it is a ``module:Class`` that cannot be had.
        """
        if name in self.first:
            return name
        if ":" in name:
            try:
                self.registry.get(name)
            except FedlabError as error:
                raise ValueError(str(error)) from error
        elif name not in self.registry:
            *most, last = (f"'{known}'" for known in self.names())
            expected = f"{', '.join(most)} or {last}"
            raise PydanticKnownError("literal_error", {"expected": expected})
        return name

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))
