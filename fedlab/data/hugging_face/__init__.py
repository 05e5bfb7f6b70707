"""Data sets of Hugging Face: how they are found and loaded, and what their columns hold."""
