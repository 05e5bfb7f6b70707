"""What one process does to run clients."""
