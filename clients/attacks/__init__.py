"""Attacks, one file each; ``[attack]`` in a scenario names one of them."""
