"""Sweeps: one scenario, many settings, several seeds."""
