"""The server: rounds, checkpoints, baselines."""
