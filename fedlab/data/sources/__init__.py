"""Data sets, one file each, registered with ``fedlab.registry.datasets``."""
