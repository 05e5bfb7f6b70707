"""Results: run folder, metrics, plots, report."""
