"""Use of trained models: evaluation, prediction, export, and fine-tuning."""
