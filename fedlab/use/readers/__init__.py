"""Readers of what predict and evaluate are given, one kind of data a file."""
