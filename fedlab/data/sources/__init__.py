"""Data sets, one file each; each registers itself with ``fedlab.registry.datasets``."""
