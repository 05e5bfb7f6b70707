"""Using what a run has trained: evaluation, prediction, export, and fine-tuning."""
