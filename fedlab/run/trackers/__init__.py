"""Trackers, one file each: callbacks that a scenario names, for a run's figures elsewhere."""
