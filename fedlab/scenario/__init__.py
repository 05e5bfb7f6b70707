"""Scenarios: the schema, loading, overrides, messages."""

from fedlab.scenario.files import built_in, find
from fedlab.scenario.loading import (
    Loaded,
    dumps,
    from_run_config,
    load,
    load_resolved,
    load_with_origins,
    loads,
    read_table,
)
from fedlab.scenario.schema import Scenario

__all__ = [
    "Loaded",
    "Scenario",
    "built_in",
    "dumps",
    "find",
    "from_run_config",
    "load",
    "load_resolved",
    "load_with_origins",
    "loads",
    "read_table",
]
