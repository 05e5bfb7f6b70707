"""The rounds loop, and all that writes a run folder."""
