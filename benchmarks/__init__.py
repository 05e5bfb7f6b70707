"""Benchmarks: speed, memory and results compared with references."""
