"""Benchmarks: speed, memory and results beside references."""
