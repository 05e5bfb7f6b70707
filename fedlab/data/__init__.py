"""Data sets, partitions and transforms."""
