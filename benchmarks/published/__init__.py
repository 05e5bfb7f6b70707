"""Reproductions of published tables (``tables/``): ``python -m benchmarks.published``."""
