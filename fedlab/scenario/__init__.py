"""Scenarios: the schema, loading, overrides, messages."""
